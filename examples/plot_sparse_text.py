# SPDX-License-Identifier: BSD-3-Clause
"""
Text as a sparse matrix
=======================

Which library does a docstring come from? The texts are those that are installed here. TF-IDF turns
each into a row with thousands of columns, nearly all zero; training touches only what is stored.
"""

import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
import scipy.signal
import scipy.stats
import sklearn.linear_model
import sklearn.metrics
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from fastbp import BackpropClassifier

# %%
# One text for each paragraph. Names of the libraries themselves would give the answer away.
modules = {
    "numpy": [np, np.linalg, np.fft, np.random],
    "scipy": [scipy.signal, scipy.stats],
    "sklearn": [sklearn.metrics, sklearn.linear_model],
}
texts, labels = [], []
for library, parts in modules.items():
    docs = {inspect.getdoc(getattr(part, name)) or "" for part in parts for name in dir(part)}
    for doc in sorted(docs):
        paragraphs = [text for text in doc.split("\n\n") if len(text) > 100]
        texts += [re.sub(r"numpy|np|scipy|sklearn|scikit", " ", text) for text in paragraphs]
        labels += [library] * len(paragraphs)
text_train, text_test, y_train, y_test = train_test_split(texts, labels, random_state=0)

# %%
model = make_pipeline(
    TfidfVectorizer(min_df=2, sublinear_tf=True, dtype=np.float32),
    BackpropClassifier((32,), early_stopping=True, n_iter_no_change=3, random_state=0),
).fit(text_train, y_train)
X = model[0].transform(text_train)
print(
    f"{X.shape[0]} paragraphs × {X.shape[1]} words, {X.nnz / np.prod(X.shape):.2%} of them stored"
)
print(f"{model.score(text_test, y_test):.1%} of the paragraphs not seen are told apart")

# %%
# The words that a prediction hangs on: ``loss_gradient`` tells how the loss of a class changes with
# each input. Where it falls most, the word speaks for the class.
words = model[0].get_feature_names_out()
figure, axes = plt.subplots(ncols=4, figsize=(12, 4), layout="constrained")
ConfusionMatrixDisplay.from_estimator(model, text_test, y_test, ax=axes[0], colorbar=False)
axes[0].set(title="paragraphs not seen", xlabel="predicted", ylabel="true")
for ax, library in zip(axes[1:], modules, strict=True):
    mean = X.mean(axis=0).reshape(1, -1)
    gradient = model[-1].loss_gradient(np.asarray(mean), [library]).X[0]
    strongest = np.argsort(gradient)[:12][::-1]
    ax.barh(words[strongest], -gradient[strongest])
    ax.set(title=f"speaks for {library}", xticks=[])
plt.show()
