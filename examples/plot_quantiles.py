# SPDX-License-Identifier: BSD-3-Clause
"""
Intervals from quantiles
========================

One network predicts several quantiles at once: not only what to expect, but also how sure that is.
Here noise grows with x, and is skewed.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastbp import BackpropRegressor

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, 3000)
y = x * np.sin(x) + (0.5 + 0.3 * x) * (rng.gamma(2, 1, x.size) - 2)
X = ((x - 5) / 3)[:, np.newaxis]
train, test = slice(2000), slice(2000, None)

# %%
# ``quantile`` takes a list; the columns of a prediction follow it, and never cross.
model = BackpropRegressor(
    loss="quantile",
    quantile=[0.05, 0.5, 0.95],
    hidden_layer_sizes=(50, 50),
    activation="silu",
    learning_rate="cosine",
    learning_rate_init=0.02,
    max_iter=150,
    n_iter_no_change=np.inf,
    random_state=0,
).fit(X[train], y[train])
low, middle, high = model.predict(X[test]).T
inside = np.mean((low <= y[test]) & (y[test] <= high))
print(f"{inside:.0%} of the points not seen lie in the interval that should hold 90 %")
print(f"share of their spread that the quantiles explain (D²): {model.score(X[test], y[test]):.2f}")

# %%
order = np.argsort(x[test])
figure, ax = plt.subplots(layout="constrained")
ax.plot(x[test], y[test], ".", color="gray", markersize=3, label="not seen in training")
ax.fill_between(x[test][order], low[order], high[order], alpha=0.3, label="5 % to 95 %")
ax.plot(x[test][order], middle[order], label="median")
ax.set(xlabel="x", ylabel="y", title=f"{inside:.0%} of the points lie in the 90 % interval")
ax.legend()
plt.show()
