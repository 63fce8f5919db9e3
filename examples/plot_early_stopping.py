# SPDX-License-Identifier: BSD-3-Clause
"""
Validation data of your own
===========================

Early stopping sets a random tenth of the rows aside. That misleads where rows belong together, as
several visits of one patient do: a network that knows the patients by heart looks good, and is not.
``fit`` takes validation data of your own instead, here of other patients.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastbp import BackpropClassifier, LossCurveDisplay

# %%
# Each patient comes 20 times. Five measurements tell something about an outcome; ten others are the
# patient's own, the same at each visit, and tell nothing but who it is.
rng = np.random.default_rng(0)
n_patients, n_visits = 120, 20
patient = np.repeat(np.arange(n_patients), n_visits)
measured = rng.normal(size=(len(patient), 5))
risk = 1.5 * rng.normal(size=n_patients)
y = measured.sum(axis=1) + risk[patient] + rng.normal(size=len(patient)) > 0
X = np.hstack([measured, rng.normal(size=(n_patients, 10))[patient]])
train, val, test = patient < 40, (patient >= 40) & (patient < 60), patient >= 60

# %%
# ``scoring="loss"`` stops at the lowest validation loss. It may be any of scikit-learn's scorers,
# or a function of your own.
options = {"early_stopping": True, "scoring": "loss", "learning_rate_init": 0.01, "random_state": 0}
models = {
    "a random tenth": BackpropClassifier(**options).fit(X[train], y[train]),
    "other patients": BackpropClassifier(**options).fit(
        X[train], y[train], X_val=X[val], y_val=y[val]
    ),
}
for name, model in models.items():
    print(f"{name}: the best of {model.n_iter_} epochs is {model.best_n_iter_}, validation loss")
    print(f"  {-model.best_validation_score_:.2f}, right on new patients: ", end="")
    print(f"{model.score(X[test], y[test]):.1%}")

# %%
# Only the second validation sees when the network begins to learn patients. The dots are at the
# epochs whose weights the models have now.
display = LossCurveDisplay.from_estimators(models)
display.ax_.set_ylim(top=0.95)
display.ax_.legend(ncols=2, fontsize="small")
display.figure_.suptitle("Two ways to validate")
plt.show()
