# SPDX-License-Identifier: BSD-3-Clause
"""
Rare classes
============

Three rows in a hundred are of the class that matters. ``class_weight="balanced"`` makes them count
as much as all the others together, and ``scoring`` stops the training by a measure that they count
in.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_classification
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, recall_score
from sklearn.model_selection import train_test_split

from fastbp import BackpropClassifier

X, y = make_classification(
    8000, 20, n_informative=8, weights=[0.97], flip_y=0.01, class_sep=0.8, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
models = {}
for class_weight in (None, "balanced"):
    model = BackpropClassifier(
        class_weight=class_weight,
        early_stopping=True,
        scoring="balanced_accuracy",
        alpha=0.1,
        random_state=0,
    )
    models[f"class_weight={class_weight!r}"] = model.fit(X_train, y_train)

# %%
# More of the rare class is found, at the price of more false alarms. The curves tell the rest:
# weights move the balance between the two, they bring no new knowledge.
figure, axes = plt.subplots(ncols=3, figsize=(12, 3.8), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=False):
    ConfusionMatrixDisplay.from_estimator(model, X_test, y_test, ax=ax, colorbar=False)
    recall = recall_score(y_test, model.predict(X_test))
    ax.set_title(f"{name}\n{recall:.0%} of the rare class found")
    PrecisionRecallDisplay.from_estimator(model, X_test, y_test, ax=axes[2], name=name)
axes[2].legend(loc="lower left", fontsize="small")
axes[2].set_title("At other thresholds")
plt.show()
