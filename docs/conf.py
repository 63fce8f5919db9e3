# SPDX-License-Identifier: BSD-3-Clause
"""The documentation, built offline by one command: sphinx-build -W docs build/docs"""

import sys
from importlib.util import find_spec
from pathlib import Path

import fastbp

NEEDED = (
    "matplotlib myst_parser numpydoc pydata_sphinx_theme sphinx_copybutton sphinx_design"
)
missing = [name for name in [*NEEDED.split(), "sphinx_gallery"] if find_spec(name) is None]
if missing:
    raise ImportError(
        f"the documentation needs {', '.join(missing)}, not installed: pip install -e '.[docs]'"
    )

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "fastbp"
author = "fastbp developers"
copyright = "fastbp developers, BSD-3-Clause"
version = release = fastbp.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # of this folder
    "inventory",
    "links",
    "mathml",
]
root_doc = "index"
exclude_patterns = ["extensions", "templates"]
templates_path = ["templates"]
# Every reference must lead somewhere, and -W makes an error of every warning.
nitpicky = True
highlight_language = "none"
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings hold a function

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False  # the template lists them
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_static_path = ["static"]
html_css_files = ["fastbp.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "fastbp"},
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "show_toc_level": 2,
}
html_sidebars = {
    "index": [],
    "getting_started": [],
    "from_scikit_learn": [],
    "changelog": [],
}
html_sidebars |= {"performance": [], "internals": [], "contributing": []}
copybutton_exclude = ".linenos, .gp, .go"


def show_estimators_pages(gallery_conf, fname) -> None:
    """Let the pictures of estimators in the gallery link to the pages of this documentation."""
    page = "../generated/{estimator_module}.{estimator_name}.html"
    for estimator in (fastbp.BackpropClassifier, fastbp.BackpropRegressor):
        estimator._doc_link_template = page


sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"/plot_",
    "backreferences_dir": None,
    "download_all_examples": False,
    "min_reported_time": 10**9,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "seaborn", show_estimators_pages),
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "parallel": False,
}
