# SPDX-License-Identifier: BSD-3-Clause
"""
A photograph as a network
=========================

A network learns to tell the colour of a photograph's pixels from their coordinates. What it has
learnt is the picture, in a third as many numbers.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from fastbp import BackpropRegressor

photograph = load_sample_image("china.jpg")[::4, ::4] / 255
height, width, _ = photograph.shape
colours = photograph.reshape(-1, 3)

# %%
# From the coordinates alone a network learns smooth shapes only. Waves of several lengths let it
# see details.
y, x = np.mgrid[:height, :width].reshape(2, -1) / width
rng = np.random.default_rng(0)
waves = rng.normal(scale=40, size=(2, 80))
phases = np.stack([x, y], axis=1) @ waves
inputs = np.hstack([np.sin(phases), np.cos(phases)]).astype(np.float32)

# %%
# Before, the weights are random: a step on a single pixel does no more than make the network.
network = BackpropRegressor(
    hidden_layer_sizes=(64, 64),
    activation="gelu",
    learning_rate="cosine",
    learning_rate_init=0.01,
    alpha=0,
    max_iter=40,
    n_iter_no_change=np.inf,
    random_state=0,
)
network.set_params(learning_rate="constant").partial_fit(inputs[:1], colours[:1])
before = network.predict(inputs)
after = network.set_params(learning_rate="cosine").fit(inputs, colours).predict(inputs)
n_weights = sum(weights.size for weights in [*network.coefs_, *network.intercepts_])
print(f"{n_weights:,} weights and intercepts for {colours.size:,} numbers")
print(f"signal to noise: {-10 * np.log10(np.mean((after - colours) ** 2)):.1f} dB")

# %%
figure, axes = plt.subplots(ncols=3, figsize=(12, 3.2), layout="constrained")
pictures = {"before": before, "after 40 epochs": after, "the photograph": colours}
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture.reshape(photograph.shape).clip(0, 1))
    ax.set(title=title)
    ax.set_axis_off()
plt.show()
