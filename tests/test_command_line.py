# SPDX-License-Identifier: BSD-3-Clause
"""`python -m fastbp train` and `predict`: what they learn, keep, print and refuse."""

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops
import skops.io
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from fastbp import BackpropClassifier, _commands, _pipeline, _table
from fastbp.__main__ import main

N_ROWS = 120


def mixed_table(n_rows: int = N_ROWS) -> pd.DataFrame:
    """Return a table with every kind of column; `size` is linear and `kind` separable in it."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=n_rows)
    colour = rng.choice(["red", "green", "blue"], size=n_rows)
    frame = pd.DataFrame({"a": a.round(3), "b": rng.integers(0, 9, n_rows), "colour": colour})
    frame["flag"] = np.where(a > 0, "True", "False")
    frame["code"] = [f"{i % 7:02d}" if i else "A1" for i in range(n_rows)]
    frame.loc[::10, "a"] = np.nan
    frame.loc[5::10, "colour"] = np.nan
    frame["size"] = (3.0 * a + (colour == "red")).round(4)
    frame["kind"] = np.where(3.0 * a + (colour == "red") > 0, "yes", "no")
    return frame


@pytest.fixture
def table(tmp_path: Path) -> str:
    return write(tmp_path / "table.csv", mixed_table())


def write(path: Path, frame: pd.DataFrame, **options: object) -> str:
    frame.to_csv(path, index=False, **options)
    return str(path)


def write_text(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def train(*args: str) -> int:
    return main(["train", *args, "--folds", "2", "--max-iter", "3"])


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail; return its one line."""
    capsys.readouterr()
    try:
        status = main(list(args))
    except SystemExit as exit_:  # argparse's own
        status = int(exit_.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1 and captured.err.endswith("\n")
    assert "Traceback" not in captured.err
    return captured.err


def predictions(model: str, file: str, output: Path, *args: str) -> pd.DataFrame:
    assert main(["predict", model, file, "--output", str(output), *args]) == 0
    return pd.read_csv(output, dtype={"prediction": str})


# Training


def test_classification_beats_the_dummy(capsys: pytest.CaptureFixture[str], table: str) -> None:
    assert main(["train", table, "--target", "kind", "--drop", "size", "--folds", "3"]) == 0
    out = capsys.readouterr().out
    assert "2 numeric columns and 3 categorical columns" in out
    assert "2 classes" in out and "classification" in out
    assert "told from" not in out  # text can be nothing else
    score = float(out.split("network, mean ± sd")[1].split()[0])
    dummy = float(out.split("dummy, commonest class")[1].split()[0])
    assert score > 0.8 > dummy
    assert max(len(line) for line in out.splitlines() if table not in line) <= 100


def test_regression_beats_the_dummy(capsys: pytest.CaptureFixture[str], table: str) -> None:
    assert main(["train", table, "--target", "size", "--drop", "kind", "--folds", "3"]) == 0
    out = capsys.readouterr().out
    assert "regression  (told from its values; --task classification if not)" in out
    assert float(out.split("network, mean ± sd")[1].split()[0]) > 0.6
    assert abs(float(out.split("dummy, mean")[1].split()[0])) < 0.2


def test_same_seed_same_model(table: str, tmp_path: Path) -> None:
    outputs = []
    for seed in ("1", "1", "2"):
        model = str(tmp_path / "model.skops")
        assert train(table, "--target", "size", "--seed", seed, "--output", model) == 0
        outputs.append(predictions(model, table, tmp_path / "out.csv"))
    assert outputs[0].equals(outputs[1])
    assert not outputs[0].equals(outputs[2])


def test_options_reach_the_network(table: str, tmp_path: Path) -> None:
    path = str(tmp_path / "model.skops")
    args = ["--hidden-layer-sizes", "7", "5", "--seed", "3", "--output", path]
    assert train(table, "--target", "kind", *args) == 0
    model = _pipeline.load_model(path)
    network = _pipeline.network(model)
    assert type(network) is BackpropClassifier
    assert [w.shape[1] for w in network.coefs_] == [7, 5, 1]
    assert network.max_iter == 3 and network.random_state == 3


@pytest.mark.parametrize(("n_rows", "early"), [(1999, False), (2000, True)])
def test_early_stopping_by_rows(n_rows: int, early: bool) -> None:
    options = {"n_rows": n_rows, "numbers": ["a"], "categories": []}
    network = _pipeline.build_pipeline("classification", **options)["model"]
    assert network.early_stopping is early
    assert network.alpha == (1e-4 if early else _pipeline.SMALL_TABLE_ALPHA)


def test_help_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "missing when it is empty" in " ".join(capsys.readouterr().out.split())


def test_says_when_epochs_ran_out(capsys: pytest.CaptureFixture[str], table: str) -> None:
    assert train(table, "--target", "kind") == 0
    assert "2 of 2 folds used all 3 epochs" in capsys.readouterr().out


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer, load_diabetes])
def test_bundled_data(load: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load(as_frame=True)
    file = write(tmp_path / "data.csv.gz", data.frame)
    model = str(tmp_path / "model.skops")
    assert main(["train", file, "--target", "target", "--folds", "3", "--output", model]) == 0
    out = capsys.readouterr().out
    task = "regression" if load is load_diabetes else "classification"
    assert f"task     {task}" in out
    assert float(out.split("network, mean ± sd")[1].split()[0]) > (
        0.35 if task == "regression" else 0.93
    )
    found = predictions(model, file, tmp_path / "out.csv")["prediction"].astype(float)
    fitted = _pipeline.load_model(model)
    assert np.array_equal(found, fitted.predict(data.frame.drop(columns="target")))


# Reading


def test_layouts_of_the_same_table(table: str, tmp_path: Path) -> None:
    frame = mixed_table()
    plain = _table.read_training_table(table, "kind")
    text = Path(table).read_text("utf-8")
    files = {
        "compressed.csv.gz": gzip.compress(text.encode()),
        "semicolon.csv": text.replace(",", ";").encode(),
        "tabs.csv": text.replace(",", "\t").encode(),
        "mark.csv": "\ufeff".encode() + text.encode(),
        "spaces.csv": text.replace(",", ", ").encode(),
        "windows.csv": text.replace("\n", "\r\n").encode(),
    }
    buffer = io.StringIO()
    frame.to_csv(buffer, quoting=1, index=True)
    files["quoted.csv"] = buffer.getvalue().encode()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        found = _table.read_training_table(str(tmp_path / name), "kind")
        pd.testing.assert_frame_equal(found.X, plain.X)
        assert list(found.target) == list(plain.target)
    assert any("without a name" in note for note in found.notes)


def test_columns_by_type(table: str) -> None:
    found = _table.read_training_table(table, "kind", drop=["size"], categorical=["b"])
    assert found.numbers == ["a"]
    assert found.categories == ["b", "colour", "flag", "code"]
    assert set(found.X["flag"]) == {"True", "False"}  # text, not bool
    assert "01" in set(found.X["code"]) and "1" not in set(found.X["code"])
    assert set(found.X["b"]) <= set("012345678")
    assert found.X["colour"].isna().sum() == N_ROWS // 10


def test_truth_values_stay_as_written(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", "a,y\nTRUE,1\nfalse,2\n,3\ntrue,4\n")
    found = _table.read_training_table(file, "y")
    assert found.X["a"].tolist()[:2] == ["TRUE", "false"] and found.X["a"].isna()[2]


def test_rows_without_target_are_left_out(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", "a,y\n1,p\n2,\n3,q\n")
    found = _table.read_training_table(file, "y")
    assert found.X["a"].tolist() == [1, 3]
    assert found.notes == ["1 row without a value of 'y' left out"]


def test_empty_columns_are_left_out(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", "a,b,c,y\n1,,x,p\n3,,,q\n")
    found = _table.read_training_table(file, "y")
    assert found.numbers == ["a"] and found.categories == ["c"]
    assert found.notes == ["empty columns left out: 'b'"]


def test_doubtful_columns_are_told(tmp_path: Path) -> None:
    rows = [f"{i if i != 3 else '?'},id{i},{i % 2}" for i in range(50)]
    file = write_text(tmp_path / "t.csv", "\n".join(["number,name,y", *rows]))
    notes = _table.read_training_table(file, "y").notes
    assert any("'?' is not a number" in note for note in notes)
    assert any("mostly unique" in note and "'name'" in note for note in notes)


@pytest.mark.parametrize(
    ("cells", "task", "labels"),
    [
        (["0", "1"] * 20, "classification", [0, 1]),
        (["-1", "1"] * 20, "classification", [-1, 1]),
        (["01", "02"] * 20, "classification", ["01", "02"]),
        (["1.0", "2.0"] * 20, "classification", ["1.0", "2.0"]),
        (["nan", "1"] * 20, "classification", ["1", "nan"]),
        (["True", "False"] * 20, "classification", ["False", "True"]),
        (["ü", "日"] * 20, "classification", ["ü", "日"]),
        ([str(i) for i in range(40)], "regression", None),
        ([str(i % 25) for i in range(400)], "regression", None),
        (["0.5", "1.5", "2.5"] * 20, "regression", None),
        ([str(2**60), str(2**60 + 1)] * 20, "classification", [str(2**60), str(2**60 + 1)]),
    ],
)
def test_task_and_labels(cells: list[str], task: str, labels: list[object] | None) -> None:
    found, y = _table.parse_target(pd.Series(cells), "y", None)
    assert found == task
    if labels is not None:
        assert np.unique(y).tolist() == labels
        assert [str(label) for label in y] == cells
    else:
        assert y.dtype == np.float64


# Predicting


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the paths of a table and of two models trained on it."""
    folder = tmp_path_factory.mktemp("saved")
    file = write(folder / "table.csv", mixed_table())
    paths = {"table": file}
    for task, target, other in (("classes", "kind", "size"), ("values", "size", "kind")):
        paths[task] = str(folder / f"{task}.skops")
        assert train(file, "--target", target, "--drop", other, "--output", paths[task]) == 0
    return paths


def test_predictions_are_the_pipelines(saved: dict[str, str], tmp_path: Path) -> None:
    frame = mixed_table()
    for task in ("classes", "values"):
        found = predictions(saved[task], saved["table"], tmp_path / "out.csv")["prediction"]
        expected = _pipeline.load_model(saved[task]).predict(frame)
        assert found.tolist() == [str(value) for value in expected]


def test_probabilities(saved: dict[str, str], tmp_path: Path) -> None:
    args = (saved["classes"], saved["table"], tmp_path / "out.csv.gz", "--probabilities")
    found = predictions(*args)
    assert list(found.columns) == ["prediction", "probability_no", "probability_yes"]
    assert np.allclose(found.filter(like="probability").sum(axis=1), 1)
    assert ((found["probability_yes"] > 0.5) == (found["prediction"] == "yes")).all()


def test_other_columns_and_order_do_not_matter(saved: dict[str, str], tmp_path: Path) -> None:
    frame = mixed_table()
    shuffled = frame[list(frame.columns)[::-1]].drop(columns=["size", "kind"]).assign(extra="x")
    expected = predictions(saved["classes"], saved["table"], tmp_path / "1.csv")
    found = predictions(saved["classes"], write(tmp_path / "t.csv", shuffled), tmp_path / "2.csv")
    assert found.equals(expected)


def test_new_categories_and_missing_cells(saved: dict[str, str], tmp_path: Path) -> None:
    text = "a,b,colour,flag,code\n1,2,violet,maybe,\n,,,,\n3,4,red,True,01\n"
    found = predictions(saved["classes"], write_text(tmp_path / "t.csv", text), tmp_path / "o.csv")
    assert len(found) == 3 and set(found["prediction"]) <= {"yes", "no"}


def test_codes_are_read_as_text_again(saved: dict[str, str], tmp_path: Path) -> None:
    # On its own this column would be taken for numbers: 1, not 01.
    text = "a,b,colour,flag,code\n1,2,red,True,01\n"
    file = write_text(tmp_path / "t.csv", text)
    model = _pipeline.load_model(saved["classes"])
    X = _table.read_features(file, *_pipeline.feature_columns(model))
    assert X["code"].tolist() == ["01"] and X["flag"].tolist() == ["True"]


def test_standard_output(saved: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", saved["classes"], saved["table"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction" and len(lines) == N_ROWS + 1


# Refusals


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("a,y\n", "no rows"),
        ("a,y\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("a,y\n1,2,3\n1,2,3\n", "rows longer than its header"),
        ("a,a,y\n1,2,3\n", "several columns named 'a'"),
        ("a,z\n1,2\n", "has no column 'y'; it has 'a', 'z'"),
        ("a,yy\n1,2\n", "did you mean 'yy'?"),
        ("y\n1\n2\n", "no column beside the target"),
        ("a,y\n,1\n,2\n", "no column beside the target"),
        ("a,y\n1,5\n2,5\n", "only one value, '5'"),
        ("a,y\n1,p\n2,p\n", "only one value, 'p'"),
        ("a,y\n1,\n2,\n", "column 'y' of"),
        ("a,y\n1,p\ninf,q\n", "row 2: column 'a' is infinite"),
        ("a,y\n1,1.5\n2,inf\n3,2.5\n", "finite numbers"),
        ("a,y\n1,p\n2,q\n", "2 rows are too few for 5 folds"),
        ("a,y\n1,1.5\n2,2.5\n3,4.5\n", "3 rows are too few for 5 folds"),
        ("a,y\n" + "1,1.5\n2,2.5\n3,4.5\n" * 3, "9 rows are too few for 5 folds"),
        ("a,y\n\xff\x00,1\n", "column 'y' has only one"),
    ],
)
def test_bad_tables(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, words: str
) -> None:
    file = write_text(tmp_path / "t.csv", content)
    assert words in refused(capsys, "train", file, "--target", "y")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.csv", "a,y\né,1\n".encode("latin-1"), "not text in UTF-8"),
        ("short.csv.gz", gzip.compress(b"a,y\n" + os.urandom(4096))[:-9], "cannot read"),
        ("plain.csv.gz", b"a,y\n1,2\n", "cannot read"),
        ("plain.csv.zip", b"a,y\n1,2\n", "cannot read"),
        ("plain.csv.xz", b"a,y\n1,2\n", "cannot read"),
    ],
)
def test_bad_bytes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in refused(capsys, "train", str(tmp_path / name), "--target", "y")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--target", "nothing"], "has no column 'nothing'"),
        (["--target", "kind", "--drop", "clour"], "did you mean 'colour'?"),
        (["--target", "kind", "--drop", "kind"], "cannot be dropped"),
        (["--target", "kind", "--categorical", "x"], "has no column 'x'"),
        (["--target", "kind", "--task", "regression"], "holds 'yes': a regression needs"),
        (["--target", "kind", "--task", "clustering"], "invalid choice"),
        (["--target", "kind", "--folds", "1"], "'1' is not an integer from 2"),
        (["--target", "kind", "--max-iter", "0.5"], "'0.5' is not an integer from 1"),
        (["--target", "kind", "--hidden-layer-sizes", "0"], "'0' is not an integer from 1"),
        (["--target", "kind", "--seed", "-1"], "is not an integer from 0"),
        (["--target", "kind", "--output", "."], "it is a folder"),
        (["--target", "kind", "--output", "no/such/model"], "there is no folder no/such"),
        (["--target", "size", "--task", "classification"], "no class has as many as 5 rows"),
        ([], "required: --target"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], table: str, args: list[str], words: str
) -> None:
    assert words in refused(capsys, "train", table, *args)


def test_files_that_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.csv")
    assert "no such file" in refused(capsys, "train", absent, "--target", "y")
    assert "no such file" in refused(capsys, "train", "https://localhost/t.csv", "--target", "y")
    assert "directory" in refused(capsys, "train", str(tmp_path), "--target", "y")
    assert "no such file" in refused(capsys, "predict", absent, absent)
    assert "directory" in refused(capsys, "predict", str(tmp_path), absent)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", "lacks columns that the model was trained on: 'colour', 'flag', 'code'"),
        ("a,b,colour,flag,code\n1,2,red,,\nx,2,red,,\n", "row 2: column 'a' must be a number"),
        ("a,b,colour,flag,code\nTrue,2,red,,\n", "must be a number, not 'True'"),
        ("a,b,colour,flag,code\n-inf,2,red,,\n", "row 1: column 'a' is infinite"),
        ("a,b,colour,flag,code\n", "no rows"),
    ],
)
def test_tables_that_do_not_fit_the_model(
    capsys: pytest.CaptureFixture[str],
    saved: dict[str, str],
    tmp_path: Path,
    content: str,
    words: str,
) -> None:
    file = write_text(tmp_path / "t.csv", content)
    assert words in refused(capsys, "predict", saved["classes"], file)


def test_a_regression_has_no_probabilities(
    capsys: pytest.CaptureFixture[str], saved: dict[str, str]
) -> None:
    args = ["predict", saved["values"], saved["table"], "--probabilities"]
    assert "has no probabilities" in refused(capsys, *args)


def test_training_that_fails_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [f"{x},{i / 7}" for i, x in enumerate([1e308, -1e308] * 10)]
    file = write_text(tmp_path / "t.csv", "\n".join(["a,y", *rows]))
    assert "training failed" in refused(capsys, "train", file, "--target", "y")


def test_nothing_is_left_behind_when_saving_fails(
    capsys: pytest.CaptureFixture[str], table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    model = tmp_path / "model.skops"
    model.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", full)
    args = ["--target", "kind", "--folds", "2", "--max-iter", "2", "--output", str(model)]
    assert "No space left" in refused(capsys, "train", table, *args)
    assert model.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.skops", "table.csv"]


# Model files from strangers


def test_only_the_constant_list_is_trusted(saved: dict[str, str]) -> None:
    for task in ("classes", "values"):
        assert set(skops.io.get_untrusted_types(file=saved[task])) <= set(_pipeline.TRUSTED_TYPES)


def test_code_in_a_model_file_does_not_run(
    capsys: pytest.CaptureFixture[str], saved: dict[str, str], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    model = Pipeline([("f", FunctionTransformer(os.mkdir, kw_args={"mode": 0o777}))])
    file = tmp_path / "model.skops"
    skops.io.dump(model, file)
    message = refused(capsys, "predict", str(file), saved["table"])
    assert "not trusted" in message and "mkdir" in message
    assert not trap.exists()


def lookalikes() -> dict[str, object]:
    """Return objects of trusted types that are no model of ours."""
    scaler = FunctionTransformer(np.exp)
    unfitted = _pipeline.build_pipeline("classification", ["a"], ["colour"], n_rows=9)
    columns = clone(unfitted["columns"]).set_params(transformers=[("numbers", scaler, ["a"])])
    columns.fit(pd.DataFrame({"a": [1.0]}))
    other = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    return {
        "a number": 3,
        "another estimator": other,
        "an unfitted pipeline": unfitted,
        "another last step": Pipeline([("columns", unfitted["columns"]), ("model", other)]),
        "another transformer": Pipeline([("columns", columns), ("model", BackpropClassifier())]),
    }


@pytest.mark.parametrize("name", lookalikes())
def test_other_objects_are_refused(
    capsys: pytest.CaptureFixture[str], saved: dict[str, str], tmp_path: Path, name: str
) -> None:
    file = tmp_path / "model.skops"
    skops.io.dump(lookalikes()[name], file)
    assert "something else" in refused(capsys, "predict", str(file), saved["table"])


def test_damaged_model_files(
    capsys: pytest.CaptureFixture[str], saved: dict[str, str], tmp_path: Path
) -> None:
    whole = Path(saved["classes"]).read_bytes()
    file = tmp_path / "model.skops"
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-30], b"x" * 1000):
        file.write_bytes(content)
        assert "cannot load" in refused(capsys, "predict", str(file), saved["table"])


def test_a_model_with_wrong_weights_is_one_line(
    capsys: pytest.CaptureFixture[str], saved: dict[str, str], tmp_path: Path
) -> None:
    model = _pipeline.load_model(saved["classes"])
    model["model"].coefs_[0] = model["model"].coefs_[0][:-1]
    file = tmp_path / "model.skops"
    skops.io.dump(model, file)
    said = refused(capsys, "predict", str(file), saved["table"])
    assert "cannot load" in said and "coefs_" in said


# The surroundings


@pytest.mark.parametrize("package", ["pandas", "skops"])
def test_missing_extra(
    capsys: pytest.CaptureFixture[str], table: str, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = refused(capsys, "train", table, "--target", "kind", "--output", "model.skops")
    assert f"needs {package}" in message and "pip install 'fastbp[table]'" in message


def test_an_unsafe_skops_is_refused(
    capsys: pytest.CaptureFixture[str], saved: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skops, "__version__", "0.11.0")
    assert "too old to be safe" in refused(capsys, "predict", saved["classes"], saved["table"])


def test_interrupt(
    capsys: pytest.CaptureFixture[str], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_commands, "read_training_table", interrupt)
    assert main(["train", table, "--target", "kind"]) == 130
    assert capsys.readouterr().err == "fastbp: interrupted\n"


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fastbp", *args]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment})


def test_as_a_program(saved: dict[str, str], tmp_path: Path) -> None:
    assert run("--version").stdout.startswith(b"fastbp ")
    assert run("train", str(tmp_path / "absent.csv"), "--target", "y").returncode == 2
    # A terminal that knows neither ± nor ²
    args = ("--target", "size", "--folds", "2", "--max-iter", "2")
    ascii_only = run("train", saved["table"], *args, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ascii_only.returncode == 0 and b"mean \\xb1 sd" in ascii_only.stdout


def test_labels_leave_as_utf8(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(20), "y": ["grün", "日本"] * 10})
    file, model = write(tmp_path / "t.csv", frame), str(tmp_path / "model.skops")
    assert train(file, "--target", "y", "--output", model) == 0
    done = run("predict", model, file, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert set(done.stdout.decode("utf-8").split()) <= {"prediction", "grün", "日本"}


def test_predictions_into_a_closed_pipe(saved: dict[str, str], tmp_path: Path) -> None:
    frame = pd.concat([mixed_table()] * 500)
    file = write(tmp_path / "long.csv", frame)
    command = [sys.executable, "-m", "fastbp", "predict", saved["classes"], file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
