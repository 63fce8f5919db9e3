# SPDX-License-Identifier: BSD-3-Clause
"""
A table of numbers and categories
=================================

Columns of several kinds, some values missing: a column transformer prepares them, a grid search
chooses the network, and every step of it is scikit-learn's own.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastbp import BackpropRegressor, WeightsDisplay

# %%
# Rents of flats that nobody lives in: they depend on size, age and district, and a balcony is worth
# more in the centre.
rng = np.random.default_rng(0)
n = 800
flats = pd.DataFrame(
    {
        "size": rng.gamma(9, 8, n),
        "age": rng.uniform(0, 120, n),
        "district": rng.choice(["centre", "harbour", "hill", "south"], n, p=[0.2, 0.3, 0.1, 0.4]),
        "balcony": rng.choice(["yes", "no"], n),
    }
)
per_metre = flats["district"].map({"centre": 19.0, "harbour": 14.0, "hill": 16.0, "south": 10.0})
in_centre = (flats["district"] == "centre") & (flats["balcony"] == "yes")
rent = flats["size"] * (per_metre + 3 * in_centre) * (1 + ((flats["age"] - 60) / 120) ** 2)
rent *= np.exp(0.05 * rng.normal(size=n))
flats.loc[rng.random(n) < 0.1, "age"] = np.nan
X_train, X_test, y_train, y_test = train_test_split(flats, rent, random_state=0)
flats.head()

# %%
# Numbers are imputed and scaled, categories become columns of 0 and 1, the rent is scaled too. With
# ``n_jobs`` left alone, searches and fits share the cores without getting in each other's way.
columns = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["size", "age"]),
    (OneHotEncoder(drop="if_binary"), ["district", "balcony"]),
    verbose_feature_names_out=False,
)
network = BackpropRegressor(solver="lbfgs", max_iter=2000, random_state=0)
model = TransformedTargetRegressor(make_pipeline(columns, network), transformer=StandardScaler())
grid = {
    "regressor__backpropregressor__hidden_layer_sizes": [(2,), (10,)],
    "regressor__backpropregressor__alpha": [0.1, 1, 10],
}
search = GridSearchCV(model, grid, cv=3).fit(X_train, y_train)
print({name.rpartition("__")[2]: value for name, value in search.best_params_.items()})
print(f"R² on rents not seen: {search.score(X_test, y_test):.3f}")

# %%
# The search's scores, and the first layer of the best network by feature.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), layout="constrained")
scores = pd.DataFrame(search.cv_results_).pivot(
    index="param_regressor__backpropregressor__alpha",
    columns="param_regressor__backpropregressor__hidden_layer_sizes",
    values="mean_test_score",
)
image = left.imshow(scores, cmap="viridis", aspect="auto")
left.set_xticks(range(scores.shape[1]), [str(units[0]) for units in scores.columns])
left.set_yticks(range(scores.shape[0]), scores.index)
left.set(title="R² by cross-validation", xlabel="hidden units", ylabel="alpha")
for (row, column), score in np.ndenumerate(scores):
    color = "black" if score > scores.to_numpy().mean() else "white"
    left.text(column, row, f"{score:.3f}", ha="center", va="center", color=color)
WeightsDisplay.from_estimator(search, ax=right)
right.set_title("What the first layer has learnt")
plt.show()
