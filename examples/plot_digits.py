# SPDX-License-Identifier: BSD-3-Clause
"""
A drop-in replacement
=====================

Handwritten digits, read by scikit-learn's ``MLPClassifier`` and by ``BackpropClassifier``. Only the
name changes: parameters, methods and attributes are the same.
"""

from time import perf_counter

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from fastbp import BackpropClassifier, LossCurveDisplay, WeightsDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

# %%
# Both with the same settings. ``dtype="float64"`` is the type that scikit-learn computes in here;
# leave it out to compute in float32, which is faster still.
models = {}
for estimator, options in [(MLPClassifier, {}), (BackpropClassifier, {"dtype": "float64"})]:
    start = perf_counter()
    model = estimator((40,), max_iter=400, learning_rate_init=0.005, random_state=0, **options)
    model.fit(X_train, y_train)
    seconds = perf_counter() - start
    score = model.score(X_test, y_test)
    print(f"{estimator.__name__:18} {score:.3f} of the test digits right, fit in {seconds:.2f} s")
    models[estimator.__name__] = model

# %%
# With the same ``random_state``, the weights begin the same and every step is the same: the two
# curves are one.
display = LossCurveDisplay.from_estimators(models)
display.lines_[0].set(linewidth=6, alpha=0.4)
display.ax_.set(yscale="log", title="One curve, drawn by two programs")

# %%
# What the 40 units of the hidden layer look for in the 8 × 8 pixels.
display = WeightsDisplay.from_estimator(models["BackpropClassifier"], image_shape=(8, 8))
display.ax_.set_title("Weights of the hidden units")
plt.show()
