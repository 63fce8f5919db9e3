# SPDX-License-Identifier: BSD-3-Clause
"""References into other projects' documentation, without asking their servers what there is.

Intersphinx would download each project's whole inventory. The few names that are used here are
listed instead, and written as an inventory of their own before anything is read.
"""

import zlib
from pathlib import Path

SCIKIT_LEARN = "https://scikit-learn.org/stable/"
# name and kind, and the page; {} is the name
GENERATED = "modules/generated/{}.html#{}"
OBJECTS = {
    ("sklearn.inspection.DecisionBoundaryDisplay", "py:class"): GENERATED,
    ("sklearn.model_selection.GridSearchCV", "py:class"): GENERATED,
    ("sklearn.neural_network.MLPClassifier", "py:class"): GENERATED,
    ("sklearn.neural_network.MLPRegressor", "py:class"): GENERATED,
    ("sklearn.pipeline.Pipeline", "py:class"): GENERATED,
    ("sklearn.set_config", "py:function"): GENERATED,
    ("sklearn.utils.metadata_routing.MetadataRequest", "py:class"): GENERATED,
    ("accuracy_score", "std:label"): "modules/model_evaluation.html#accuracy-score",
    (
        "df_output_transform",
        "std:label",
    ): "auto_examples/miscellaneous/plot_set_output.html",
    ("metadata_routing", "std:label"): "metadata_routing.html#metadata-routing",
    ("sphx_glr_auto_examples_miscellaneous_plot_set_output.py", "std:label"): (
        "auto_examples/miscellaneous/plot_set_output.html"
    ),
    ("meta-estimator", "std:term"): "glossary.html#term-meta-estimator",
}


def inventory() -> bytes:
    """Return the names in the format of objects.inv, version 2."""
    lines = [
        f"{name} {kind} 1 {page.format(name, name)} -"
        for (name, kind), page in OBJECTS.items()
    ]
    head = "# Sphinx inventory version 2\n# Project: scikit-learn\n# Version: stable\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    return head.encode() + zlib.compress("".join(f"{line}\n" for line in lines).encode())


def write_inventory(app, config) -> None:
    path = Path(app.doctreedir, "scikit-learn.inv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(inventory())
    config.intersphinx_mapping = {"sklearn": (SCIKIT_LEARN, str(path))}


def setup(app) -> dict:
    # before intersphinx looks at its configuration, at priority 800
    app.connect("config-inited", write_inventory, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
