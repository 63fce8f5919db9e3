# SPDX-License-Identifier: BSD-3-Clause
"""The command line: `python -m fastbp [train | predict]`.

Exit status 0 is success, 2 a mistake that the user can put right, told in one line.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from . import __version__

CSV_HELP = (
    "A CSV file with a header line, compressed if its name ends in .gz, .bz2, .xz or .zip."
    " A cell is missing when it is empty, and only then: NA or ? is a value like any other."
)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error alone, without the usage."""
        self.exit(2, f"{self.prog}: {message} (--help tells more)\n")


def integer_from(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Return a converter of arguments to integers in a range."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer from {low} to {high}")
        return value

    return convert


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="python -m fastbp",
        description="Train multilayer perceptrons on CPUs, from scikit-learn's API. Without a"
        " command: train both estimators on scikit-learn's digits and diabetes data, beside"
        " scikit-learn's own, and print both sides' losses, scores and times.",
    )
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_train(commands)
    _add_predict(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction[Parser]) -> None:
    train = commands.add_parser(
        "train",
        help="train on a CSV file: cross-validated score, saved model",
        description="Build a scikit-learn pipeline for a table (numbers imputed and scaled,"
        " categories one-hot encoded), print its cross-validated score beside that of a model"
        " that ignores the columns, and save it.",
        epilog=CSV_HELP,
    )
    train.add_argument("file", metavar="FILE", help="the table, a CSV file")
    train.add_argument("--target", metavar="COLUMN", required=True, help="the column to predict")
    train.add_argument(
        "--task",
        choices=["classification", "regression"],
        help="told from the target unless given: integers with few values and text are classes",
    )
    train.add_argument(
        "--drop",
        metavar="COLUMN",
        nargs="+",
        action="extend",
        default=[],
        help="columns to leave out, such as row ids and what is only known afterwards",
    )
    train.add_argument(
        "--categorical",
        metavar="COLUMN",
        nargs="+",
        action="extend",
        default=[],
        help="columns to take as categories though they hold numbers, such as codes",
    )
    train.add_argument(
        "--hidden-layer-sizes",
        metavar="UNITS",
        nargs="+",
        type=integer_from(1),
        default=[128, 64],
        help="units of each hidden layer (default: 128 64)",
    )
    train.add_argument(
        "--max-iter",
        metavar="EPOCHS",
        type=integer_from(1),
        default=200,
        help="passes over the rows at most (default: %(default)s)",
    )
    train.add_argument(
        "--folds",
        metavar="N",
        type=integer_from(2),
        default=5,
        help="folds of the cross-validation (default: %(default)s)",
    )
    train.add_argument(
        "--seed",
        metavar="N",
        type=integer_from(0, 2**32 - 1),
        default=0,
        help="seed of folds, weights and shuffles (default: %(default)s)",
    )
    train.add_argument(
        "--output",
        "-o",
        metavar="MODEL",
        help="train on all rows and save the pipeline here, as a skops file",
    )


def _add_predict(commands: argparse._SubParsersAction[Parser]) -> None:
    predict = commands.add_parser(
        "predict",
        help="write a saved model's predictions for a CSV file",
        description="Write a saved model's predictions as CSV, one line per row. A model file from"
        " a stranger is safe to load: only known types are made of it, and none of its code runs.",
        epilog=CSV_HELP,
    )
    predict.add_argument("model", metavar="MODEL", help="a file that 'train --output' wrote")
    predict.add_argument("file", metavar="FILE", help="the table, a CSV file")
    predict.add_argument("--probabilities", action="store_true", help="add a column for each class")
    predict.add_argument(
        "--output", "-o", metavar="CSV", help="write here instead of to standard output"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; None takes the program's own.

    Returns
    -------
    int
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks ± gets \xb1
            stream.reconfigure(errors="backslashreplace")
    args = build_parser().parse_args(argv)
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("fastbp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `… | head`: what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(args: argparse.Namespace) -> int:
    # Imported here: --help and --version should not wait for scikit-learn and pandas.
    if args.command is None:
        from ._demo import run_demo

        run_demo()
        return 0

    from . import _commands
    from ._table import TableError

    try:
        {"train": _commands.train, "predict": _commands.predict}[args.command](args)
        sys.stdout.flush()
    except TableError as error:
        print(f"fastbp: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
