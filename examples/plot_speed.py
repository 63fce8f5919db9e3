# SPDX-License-Identifier: BSD-3-Clause
"""
Speed on your own machine
=========================

The same fits by scikit-learn and fastbp, with their defaults: on the machine that built this page,
or on yours if you run it. The project's ``benchmarks`` folder has the careful version, with more
workloads, other libraries, and a measure of how far the figures can be trusted.
"""

import warnings
from time import perf_counter

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes, load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import scale

from fastbp import BackpropClassifier, BackpropRegressor, show_versions

warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs are enough to time one
show_versions()

# %%
digits, diabetes = load_digits(return_X_y=True), load_diabetes(return_X_y=True)
wide = make_classification(2000, 300, n_informative=50, n_classes=5, random_state=0)
long = make_regression(10_000, 10, noise=1, random_state=0)
classify, regress = (MLPClassifier, BackpropClassifier), (MLPRegressor, BackpropRegressor)
workloads = {
    "digits": (classify, digits, 5),
    "diabetes": (regress, diabetes, 20),
    "2,000 × 300, 5 classes": (classify, wide, 5),
    "10,000 × 10, regression": (regress, long, 3),
}

# %%
# The better of two times, in turns, so that what else the machine does meets both.
speedups = {}
for name, (estimators, (X, y), n_epochs) in workloads.items():
    X = scale(X)
    seconds = dict.fromkeys(estimators, float("inf"))
    for estimator in estimators * 2:
        model = estimator(max_iter=n_epochs, random_state=0)
        start = perf_counter()
        model.fit(X, y)
        seconds[estimator] = min(seconds[estimator], perf_counter() - start)
    theirs, ours = seconds.values()
    speedups[name] = theirs / ours
    print(f"{name:24} scikit-learn {theirs:6.3f} s, fastbp {ours:6.3f} s")

# %%
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
bars = ax.barh([*speedups], [*speedups.values()])
ax.bar_label(bars, fmt="%.1f times", padding=3)
ax.axvline(1, color="gray", linestyle=":")
ax.invert_yaxis()
ax.margins(x=0.25)
ax.set(xlabel="speed of fit, scikit-learn's being 1")
plt.show()
