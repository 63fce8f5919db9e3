# SPDX-License-Identifier: BSD-3-Clause
"""
The same bits on any number of threads
======================================

Sums of floating-point numbers depend on their order, and with most libraries the order depends on
the number of threads. Here it does not: the same ``random_state`` gives the same weights, to the
last bit, on one thread or many.
"""

from hashlib import sha256

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_regression

from fastbp import BackpropRegressor

threads = [1, 2, 3, 4]

# %%
# The usual way to share out a sum: each thread adds up a part, one number after another, then the
# parts are added.
numbers = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
sums = [sum(np.cumsum(part)[-1] for part in np.array_split(numbers, n)) for n in threads]

# %%
# A network trained on as many threads, and a fingerprint of all its weights and intercepts.
X, y = make_regression(4000, 100, noise=10, random_state=0)
y = (y - y.mean()) / y.std()
fingerprints, predictions = [], []
for n_jobs in threads:
    model = BackpropRegressor(
        hidden_layer_sizes=(200, 100), max_iter=15, n_iter_no_change=np.inf,
        learning_rate="cosine", n_jobs=n_jobs, random_state=0,
    ).fit(X, y)  # fmt: skip
    weights = b"".join(array.tobytes() for array in [*model.coefs_, *model.intercepts_])
    fingerprints.append(sha256(weights).hexdigest()[:16])
    predictions.append(model.predict(X))
    print(f"{n_jobs} threads: {fingerprints[-1]}")
assert len(set(fingerprints)) == 1

# %%
# The sum changes with the number of parts. The network does not: of 4,000 predictions, none differs
# in any digit.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), layout="constrained")
left.plot(threads, np.array(sums) - sums[0], "o", color="C3")
left.set(title="A sum in parts", ylabel="sum, less that of one part")
for n, prediction in zip(threads, predictions, strict=True):
    right.plot(n * np.ones(len(y)), prediction - predictions[0], "o", color="C2")
right.set(title="Predictions of the network", ylabel="prediction, less that of one thread")
for ax in (left, right):
    ax.axhline(0, color="gray", linewidth=0.8, zorder=0)
    ax.set(xlabel="threads", xticks=threads, ylim=(-2e-4, 2e-4))
plt.show()
