# SPDX-License-Identifier: BSD-3-Clause
"""
The same bits on any number of threads
======================================

Sums of floating-point numbers depend on their order, and with most libraries the order depends on
the number of threads. Here it does not: the same ``random_state`` gives the same weights, to the
last bit, on one thread or many.
"""

from hashlib import sha256
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_regression

from fastbp import BackpropRegressor

X, y = make_regression(4000, 100, noise=10, random_state=0)
y = (y - y.mean()) / y.std()

# %%
# A fingerprint of all weights and intercepts after each training.
threads = [1, 2, 3, 4]
seconds, fingerprints, predictions = [], [], []
for n_jobs in threads:
    start = perf_counter()
    model = BackpropRegressor(
        hidden_layer_sizes=(200, 100), max_iter=15, n_iter_no_change=np.inf,
        learning_rate="cosine", n_jobs=n_jobs, random_state=0,
    ).fit(X, y)  # fmt: skip
    seconds.append(perf_counter() - start)
    weights = b"".join(array.tobytes() for array in [*model.coefs_, *model.intercepts_])
    fingerprints.append(sha256(weights).hexdigest()[:16])
    predictions.append(model.predict(X))
    print(f"{n_jobs} threads: {fingerprints[-1]}")
assert len(set(fingerprints)) == 1

# %%
# More threads than the machine has cores gain nothing, and change nothing.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), layout="constrained")
left.bar([str(n) for n in threads], seconds)
left.set(xlabel="threads", ylabel="seconds of the fit", title="What depends on the threads")
for n, prediction in zip(threads, predictions, strict=True):
    right.plot(n * np.ones(len(y)), prediction - predictions[0], ".", color="C2")
right.set(
    xlabel="threads",
    xticks=threads,
    ylim=(-1e-7, 1e-7),
    ylabel="prediction, less that of one thread",
    title=f"What does not: {fingerprints[0]}",
)
plt.show()
