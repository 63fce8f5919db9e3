# SPDX-License-Identifier: BSD-3-Clause
"""
More data than memory
=====================

``partial_fit`` learns from a stream, one piece after another. Here the pieces come from a memory
map: a file used like an array, of which the system holds in memory only what was touched lately.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from fastbp import BackpropClassifier

n_rows, n_columns, n_piece = 260_000, 30, 20_000  # as many rows as the disk has room for

# %%
# A file of rows, written a piece at a time. The label tells whether a row lies within a shell.
rng = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
X = np.lib.format.open_memmap(
    Path(folder.name, "X.npy"), mode="w+", dtype=np.float32, shape=(n_rows, n_columns)
)
y = np.lib.format.open_memmap(Path(folder.name, "y.npy"), mode="w+", dtype=np.int8, shape=(n_rows,))
for start in range(0, n_rows, n_piece):
    piece = slice(start, start + n_piece)
    X[piece] = rng.normal(size=(n_piece, n_columns))
    y[piece] = np.abs(np.linalg.norm(X[piece, :10], axis=1) - 3.1) < 0.5
X.flush()
print(f"{X.nbytes / 2**20:.0f} MiB on the disk, {X[:n_piece].nbytes / 2**20:.0f} MiB in a piece")

# %%
# Rows of float32 are read where they lie, without a copy. The last piece is kept for a test.
X, y = np.load(Path(folder.name, "X.npy"), mmap_mode="r"), np.load(Path(folder.name, "y.npy"))
X_test, y_test = X[-n_piece:], y[-n_piece:]
model = BackpropClassifier((64, 32), activation="silu", learning_rate_init=0.003, random_state=0)
rows, scores = [], []
for start in range(0, n_rows - n_piece, n_piece):
    piece = slice(start, start + n_piece)
    model.partial_fit(X[piece], y[piece], classes=[0, 1])
    rows.append(model.t_)
    scores.append(model.score(X_test, y_test))
guess = max(np.bincount(y_test)) / n_piece
print(f"{scores[-1]:.1%} of the rows not seen are right; the larger class has {guess:.1%} of them")

# %%
figure, ax = plt.subplots(layout="constrained")
ax.plot(rows, scores, "o-")
ax.axhline(guess, color="gray", linestyle=":", label="the larger class")
ax.set(xlabel="rows seen", ylabel="accuracy on rows not seen", title="Learning from a stream")
ax.legend()
plt.show()
del X, X_test  # or Windows would keep the file
folder.cleanup()
