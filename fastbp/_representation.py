# SPDX-License-Identifier: BSD-3-Clause
"""The estimators' HTML representation: what docstrings say, and a link where one can lead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


class RepresentationMixin:
    """Descriptions of parameters and attributes in the HTML representation, without an address.

    scikit-learn shows what a docstring says of a parameter as part of a link into the class's page,
    and nothing for a class without one. The documentation of fastbp has no address of its own;
    whoever puts it online sets ``_doc_link_template``, as its ``conf.py`` does for its own pages.
    """

    _doc_link_module = "fastbp"
    _doc_link_template = ""  # such as "https://…/{estimator_module}.{estimator_name}.html"

    # Called with the address last or by name; by older releases of scikit-learn without one.

    def _get_params_html(self, *given: Any, **named: Any) -> Any:
        base: Any = super()
        return _described(base._get_params_html, *given, **named)

    def _get_fitted_attr_html(self, *given: Any, **named: Any) -> Any:
        base: Any = super()
        return _described(base._get_fitted_attr_html, *given, **named)


def _described(make: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Return a table of scikit-learn's that describes its rows, links or no links."""
    if named.get("doc_link") == "":
        table = make(*given, **named | {"doc_link": "#"})
    elif given[-1:] == ("",):
        table = make(*given[:-1], "#", **named)
    else:
        return make(*given, **named)
    describe = table._html_repr
    table._html_repr = lambda: re.sub(r' (?:href|target|rel)="[^"]*"', "", describe())
    return table
