# SPDX-License-Identifier: BSD-3-Clause
"""
scikit-learn's own displays
===========================

What scikit-learn draws of its estimators it draws of these too.
"""

import matplotlib.pyplot as plt
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_diabetes, make_moons
from sklearn.inspection import DecisionBoundaryDisplay, PartialDependenceDisplay
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor

X, y = make_moons(1000, noise=0.3, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
classifier = BackpropClassifier((20, 20), solver="lbfgs", alpha=1, max_iter=500, random_state=0)
classifier.fit(X_train, y_train)

# %%
# Decision boundary
# -----------------
display = DecisionBoundaryDisplay.from_estimator(
    classifier, X, response_method="predict_proba", cmap="RdBu_r", alpha=0.7
)
display.ax_.scatter(*X_test.T, c=y_test, cmap="RdBu_r", edgecolor="white", s=20)
display.ax_.set_title("Probability of a class, and samples not seen")

# %%
# ROC and calibration
# -------------------
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4.5), layout="constrained")
RocCurveDisplay.from_estimator(classifier, X_test, y_test, ax=left, plot_chance_level=True)
CalibrationDisplay.from_estimator(classifier, X_test, y_test, ax=right, n_bins=8)
left.set_title("ROC curve")
right.set_title("Calibration")

# %%
# Partial dependence
# ------------------
# How predictions change with a feature, on average and for single patients.
X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
regressor = make_pipeline(
    StandardScaler(),
    BackpropRegressor(
        hidden_layer_sizes=(20,),
        early_stopping=True,
        learning_rate_init=0.1,
        alpha=10,
        random_state=0,
    ),
).fit(X, y)
figure, axes = plt.subplots(ncols=3, figsize=(10, 3.5), layout="constrained", sharey=True)
PartialDependenceDisplay.from_estimator(
    regressor, X, ["bmi", "bp", "s5"], kind="both", subsample=50, random_state=0, ax=axes
)
figure.suptitle("Progression of diabetes, as the network sees it")
plt.show()
