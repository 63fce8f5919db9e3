# SPDX-License-Identifier: BSD-3-Clause
"""Tables in: a CSV file becomes typed columns, or one clear line about what is wrong with it.

A cell is missing when it is empty, and only then: "NA", "?" and "none" are values like any other.
A column is numeric when all its cells are numbers; everything else is a category, compared as the
text that stands in the file. The target too is read as text, so that labels come out of a model
as they went in ("01" stays "01").
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t", "|")

#: An integer target with at most this many values, each of them common, is taken for labels.
MAX_INTEGER_CLASSES = 20


class TableError(Exception):
    """Something the user can put right, told in one line."""


def one_line(error: BaseException) -> str:
    """Return what an exception says, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def quoted(names: Iterable[Any], limit: int = 8) -> str:
    """Return names in quotes, separated by commas, at most `limit` of them."""
    names = list(names)
    listed = ", ".join(repr(str(name)) for name in names[:limit])
    return f"{listed} and {len(names) - limit} more" if len(names) > limit else listed


def count(n: int, noun: str) -> str:
    """Return "1 row", "2 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def import_extra(name: str) -> Any:
    """Import a package of the "table" extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise TableError(
            f"this command needs {package}, which is not installed: pip install 'fastbp[table]'"
        ) from error


def _read(path: str, **options: Any) -> pd.DataFrame:
    pandas = import_extra("pandas")
    if not Path(path).exists():  # also keeps pandas from fetching what looks like a URL
        raise TableError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            # Rows longer than the header would be cut with a warning only.
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            return pandas.read_csv(
                path,
                keep_default_na=False,
                na_values=[""],
                encoding="utf-8-sig",
                skipinitialspace=True,
                low_memory=False,
                index_col=False,
                **options,
            )
    except pandas.errors.EmptyDataError:
        raise TableError(f"{path} is empty") from None
    except UnicodeDecodeError:
        raise TableError(f"cannot read {path}: it is not text in UTF-8") from None
    except pandas.errors.ParserWarning:
        raise TableError(f"cannot read {path}: it has rows longer than its header") from None
    except Exception as error:  # a dozen types, from the file system, decompressors and parser
        raise TableError(f"cannot read {path}: {one_line(error)}") from error


@dataclass
class CsvFile:
    """A CSV file whose header has been read.

    Attributes
    ----------
    path : str
    separator : str
        The one of `SEPARATORS` that splits the header into most columns.
    columns : list of str
        The named columns. One without a name (such as the row numbers that pandas writes) is
        not used.
    n_unnamed : int
    """

    path: str
    separator: str = ","
    columns: list[str] = field(default_factory=list)
    n_unnamed: int = 0

    def __post_init__(self) -> None:
        header: list[Any] = []
        for separator in SEPARATORS:
            cells = _read(self.path, sep=separator, header=None, nrows=1, dtype=str).iloc[0]
            if len(cells) > len(header):
                header, self.separator = list(cells), separator
        self._names = [
            cell if isinstance(cell, str) else f"(unnamed {i})" for i, cell in enumerate(header)
        ]
        self.columns = [cell for cell in header if isinstance(cell, str)]
        self.n_unnamed = len(header) - len(self.columns)
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            raise TableError(f"{self.path} has several columns named {quoted(twice)}")

    def require(self, names: Sequence[str]) -> None:
        """Raise unless all the columns named are there."""
        for name in names:
            if name not in self.columns:
                near = difflib.get_close_matches(name, self.columns, n=1)
                hint = f"did you mean {quoted(near)}?" if near else f"it has {quoted(self.columns)}"
                raise TableError(f"{self.path} has no column {name!r}; {hint}")

    def read(self, columns: Sequence[str], text: Iterable[str]) -> pd.DataFrame:
        """Read columns; those in `text` as text, the others as numbers where all cells are."""
        # All are read, since the parser overlooks rows that are too long when it skips columns.
        frame = _read(
            self.path,
            sep=self.separator,
            header=0,
            names=self._names,
            dtype=dict.fromkeys(text, str),
        )
        if len(frame) == 0:
            raise TableError(f"{self.path} has a header but no rows")
        return frame[list(columns)]


@dataclass
class TrainingTable:
    """Features and target of a table to learn from.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_features)
    target : Series of shape (n_rows,)
        The target's cells as text, none missing.
    numbers, categories : list of str
        Columns of X.
    notes : list of str
        What the user should know of how the file was read.
    """

    X: pd.DataFrame
    target: pd.Series[str]
    numbers: list[str]
    categories: list[str]
    notes: list[str]


def read_training_table(
    path: str, target: str, *, drop: Sequence[str] = (), categorical: Sequence[str] = ()
) -> TrainingTable:
    """Read a table to learn from.

    Parameters
    ----------
    path : str
        A CSV file, compressed if its name says so (.gz, .bz2, .xz, .zip).
    target : str
        The column to predict.
    drop : sequence of str
        Columns to leave out.
    categorical : sequence of str
        Columns to take as categories even where all their cells are numbers.

    Returns
    -------
    TrainingTable

    Raises
    ------
    TableError
        The file cannot be read, lacks a column or rows, or holds infinite numbers.
    """
    file = CsvFile(path)
    file.require([target, *drop, *categorical])
    if target in drop:
        raise TableError(f"the target {target!r} cannot be dropped")
    features = [name for name in file.columns if name != target and name not in drop]

    text = {target, *categorical}
    frame = file.read([*features, target], text)
    odd = [name for name in features if name not in text and _is_odd(frame[name])]
    if odd:  # true and false, mostly: read again, as the text that stands in the file
        frame = file.read([*features, target], text | set(odd))

    notes = []
    if file.separator != ",":
        notes.append(f"columns are separated by {file.separator!r}")
    if file.n_unnamed:
        notes.append(f"{count(file.n_unnamed, 'column')} without a name left out")
    unlabelled = frame[target].isna()
    if unlabelled.any():
        frame = frame[~unlabelled]
        notes.append(f"{count(unlabelled.sum(), 'row')} without a value of {target!r} left out")
    if len(frame) == 0:
        raise TableError(f"column {target!r} of {path} is empty")

    blank = [name for name in features if frame[name].isna().all()]
    if blank:
        notes.append(f"empty columns left out: {quoted(blank)}")
        features = [name for name in features if name not in blank]
    if not features:
        raise TableError(f"{path} has no column beside the target {target!r} to learn from")

    numbers = [name for name in features if _is_numeric(frame[name])]
    _check_finite(frame[numbers], path)
    categories = [name for name in features if name not in numbers]
    notes += _doubts(frame[categories])
    return TrainingTable(frame[numbers + categories], frame[target], numbers, categories, notes)


def read_features(path: str, numbers: Sequence[str], categories: Sequence[str]) -> pd.DataFrame:
    """Read the columns that a model was trained on.

    Raises
    ------
    TableError
        The file cannot be read, lacks a column or rows, or has text where numbers belong.
    """
    pandas = import_extra("pandas")
    file = CsvFile(path)
    columns = [*numbers, *categories]
    missing = [name for name in columns if name not in file.columns]
    if missing:
        raise TableError(f"{path} lacks columns that the model was trained on: {quoted(missing)}")
    frame = file.read(columns, categories)
    for name in numbers:
        if not _is_numeric(frame[name]):
            cells = frame[name].astype(str)
            wrong = pandas.to_numeric(cells, errors="coerce").isna() & frame[name].notna()
            row = int(np.argmax(wrong.to_numpy()))
            raise TableError(
                f"{path}, row {row + 1}: column {name!r} must be a number, not {cells[row]!r}"
            )
    _check_finite(frame[list(numbers)], path)
    return frame


def _is_numeric(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "iuf"


def _is_odd(column: pd.Series[Any]) -> bool:
    """Tell whether the parser made something else of a column than numbers or text."""
    pandas = import_extra("pandas")
    if _is_numeric(column):
        return False
    return bool(pandas.api.types.infer_dtype(column, skipna=True) != "string")


def _check_finite(frame: pd.DataFrame, path: str) -> None:
    for name in frame.columns:
        infinite = np.isinf(frame[name].to_numpy(dtype=np.float64))
        if infinite.any():
            raise TableError(
                f"{path}, row {int(np.argmax(infinite)) + 1}: column {name!r} is infinite"
            )


def _doubts(categories: pd.DataFrame) -> list[str]:
    """Return notes on categories that look as if they were meant to be something else."""
    pandas = import_extra("pandas")
    notes, ids = [], []
    for name in categories.columns:
        cells = categories[name].dropna()
        n_values = cells.nunique()
        parsed = pandas.to_numeric(cells, errors="coerce")
        wrong = cells[parsed.isna()]
        if 0 < len(wrong) <= len(cells) // 2:
            notes.append(
                f"{name!r} is taken as categories: {wrong.iloc[0]!r} is not a number"
                " (only an empty cell is missing)"
            )
        elif n_values > 20 and n_values > len(cells) // 2:
            ids.append(name)
    if ids:
        notes.append(f"mostly unique, so of little use (--drop removes them): {quoted(ids)}")
    return notes


def parse_target(target: pd.Series[str], name: str, task: str | None) -> tuple[str, Any]:
    """Tell the task from the target's cells, and give them the type it needs.

    Parameters
    ----------
    target : Series of str
    name : str
        The column's name, for messages.
    task : "classification", "regression" or None
        None tells it from the cells: numbers are a regression, unless they are integers with so
        few values that they must be labels.

    Returns
    -------
    task : "classification" or "regression"
    y : ndarray of shape (n_rows,)
        Labels as integers where all are written as such, otherwise as they are written; or float64.

    Raises
    ------
    TableError
        The target is constant, or a regression's target is not a finite number.
    """
    pandas = import_extra("pandas")
    values = pandas.to_numeric(target, errors="coerce").to_numpy(dtype=np.float64)
    n_values = target.nunique()
    if task is None:
        few = n_values <= max(2, min(MAX_INTEGER_CLASSES, len(target) // 10))
        integral = bool((values == np.floor(values)).all())  # false if any is not a number
        labels = np.isnan(values).any() or (integral and few)
        task = "classification" if labels else "regression"
    if n_values < 2:
        raise TableError(
            f"column {name!r} has only one value, {target.iloc[0]!r}: there is nothing to learn"
        )
    if task == "classification":
        return task, _labels(target, values)
    wrong = ~np.isfinite(values)
    if wrong.any():
        cell = target.iloc[int(np.argmax(wrong))]
        raise TableError(f"column {name!r} holds {cell!r}: a regression needs finite numbers")
    return task, values


def _labels(target: pd.Series[str], values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    text: np.ndarray[Any, Any] = target.to_numpy(dtype=str)
    if np.isfinite(values).all() and (np.abs(values) < 2**53).all():
        integers = values.astype(np.int64)
        if (integers.astype(str) == text).all():
            return integers
    return text
