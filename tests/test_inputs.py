# SPDX-License-Identifier: BSD-3-Clause
"""What goes in: every layout and type of X, values beyond float32, sample weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.neural_network import MLPRegressor

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp._data import Samples, core_rows, refuse_beyond_float32
from fastbp._validation import split_rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DTYPES = ("float32", "float64")


def draw(n: int = 50, n_features: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Draw X of small integers, which every type holds, and y."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, size=(n, n_features)).astype(np.float64)
    return X, X[:, 0] - X[:, 1] + rng.normal(size=n)


def misaligned(X: np.ndarray) -> np.ndarray:
    buffer = np.zeros(X.nbytes + 1, dtype=np.uint8)[1:].view(np.uint8)
    copy = np.frombuffer(buffer.data, dtype=X.dtype, count=X.size).reshape(X.shape)
    copy[...] = X
    assert not copy.flags.aligned
    return copy


def read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.setflags(write=False)
    return X


LAYOUTS = {
    "fortran": np.asfortranarray,
    "float32": np.float32,
    "float16": np.float16,
    "longdouble": np.longdouble,
    "int8": np.int8,
    "int64": np.int64,
    "uint16": np.uint16,
    "object": lambda X: X.astype(object),
    "strings": lambda X: X.astype(str).astype(object),
    "big_endian": lambda X: X.astype(">f8"),
    "list": lambda X: X.tolist(),
    "columns_apart": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "rows_apart": lambda X: np.repeat(X, 3, axis=0)[::3],
    "rows_padded": lambda X: np.pad(X, ((0, 0), (1, 2)))[:, 1:-2],
    "rows_reversed": lambda X: X[::-1].copy()[::-1],
    "columns_reversed": lambda X: X[:, ::-1].copy()[:, ::-1],
    "misaligned": misaligned,
    "read_only": read_only,
}
SPARSE = (sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.csc_array, sp.lil_array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_x_does_not_matter(layout: str, dtype: str) -> None:
    X, y = draw()
    expected = BackpropRegressor(max_iter=5, dtype=dtype, random_state=0).fit(X, y)
    other = LAYOUTS[layout](X)
    before = np.array(other, dtype=np.float64)
    model = BackpropRegressor(max_iter=5, dtype=dtype, random_state=0).fit(other, y)
    assert model.loss_curve_ == expected.loss_curve_
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])
    predicted = model.predict(other)
    np.testing.assert_array_equal(predicted, expected.predict(X).astype(predicted.dtype))
    np.testing.assert_array_equal(np.array(other, dtype=np.float64), before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("container", SPARSE, ids=lambda container: container.__name__)
def test_sparse_x(container: Any, dtype: str) -> None:
    X, y = draw()
    expected = BackpropRegressor(max_iter=5, dtype=dtype, random_state=0).fit(X, y)
    for values in (np.float64, np.float32, np.int64):
        sparse = container(X.astype(values))
        before = sparse.copy()
        model = BackpropRegressor(max_iter=5, dtype=dtype, random_state=0).fit(sparse, y)
        np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(model.predict(sparse), expected.predict(X), rtol=1e-4)
        assert sparse.dtype == values
        assert abs(sparse - before).sum() == 0


def test_csr_of_strided_arrays() -> None:
    X, y = draw()
    sparse = sp.csr_array(X)
    sparse.data = np.repeat(sparse.data, 2)[::2]
    assert not sparse.data.flags.c_contiguous
    model = BackpropRegressor(max_iter=2, random_state=0).fit(sparse, y)
    expected = BackpropRegressor(max_iter=2, random_state=0).fit(sp.csr_array(X), y)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])


def test_inconsistent_csr_raises() -> None:
    _, y = draw(3)
    good = sp.csr_array(np.eye(3))
    for name, index, value in (("indices", 1, 7), ("indices", 0, -1), ("indptr", 1, 2)):
        broken = good.copy()
        getattr(broken, name)[index] = value
        if name == "indptr":
            broken.indptr[2] = 1
        with pytest.raises(ValueError, match=r"inconsistent|out of range|ind"):
            BackpropRegressor(max_iter=1).fit(broken, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_the_core_reads_are_not_copied(dtype: str) -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    for kind in (np.float32, np.float64):
        rows = X.astype(kind)
        for view in (rows, rows[::2], rows[3:, 1:4], rows[:1]):
            assert core_rows(view, dtype) is view
        for container in (sp.csr_matrix, sp.csr_array):
            sparse = container(rows)
            found = core_rows(sparse, dtype)
            assert np.shares_memory(found.data, sparse.data)
            assert np.shares_memory(found.indices, sparse.indices)
            assert not np.shares_memory(found.indptr, sparse.indptr)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_are_in_the_compute_type(dtype: str) -> None:
    X = np.random.default_rng(0).normal(size=(100_003, 3))
    rows = core_rows(np.asfortranarray(X), dtype)
    assert rows.flags.c_contiguous
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, X.astype(dtype))
    assert core_rows(sp.csc_matrix(X[:50]), dtype).format == "csr"


def test_memory_map(tmp_path: Path) -> None:
    X, y = draw()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = BackpropRegressor(max_iter=5, random_state=0).fit(mapped, y)
    expected = BackpropRegressor(max_iter=5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(mapped), expected.predict(X))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library: str) -> None:
    frames = pytest.importorskip(library)
    X, y = draw()
    columns = [f"x{i}" for i in range(X.shape[1])]
    expected = BackpropRegressor(max_iter=5, random_state=0).fit(X, y)
    frame = frames.DataFrame({name: X[:, i] for i, name in enumerate(columns)})
    model = BackpropRegressor(max_iter=5, random_state=0).fit(frame, frames.Series(y))
    np.testing.assert_array_equal(model.predict(frame), expected.predict(X))
    assert list(model.feature_names_in_) == columns
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[columns[::-1]])


def test_nullable_data_frame() -> None:
    pd = pytest.importorskip("pandas")
    X, y = draw()
    model = BackpropRegressor(max_iter=5, random_state=0)
    expected = model.fit(X, y).predict(X)
    for kind in ("Int64", "Float64", "Float32"):
        frame = pd.DataFrame(X).astype(kind).rename(columns=str)
        np.testing.assert_allclose(model.fit(frame, y).predict(frame), expected, rtol=1e-6)


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_bad_x_raises(estimator: type) -> None:
    X, _ = draw(20)
    y = np.arange(20) % 2
    model = estimator(max_iter=2).fit(X, y)
    for bad in (
        np.where(X > 2, np.nan, X),
        np.where(X > 2, np.inf, X),
        X[0],
        X[None],
        X + 1j,
        X.astype(str).astype(object) + "x",
        X[:0],
        X[:, :0],
        X[:, :4],
        np.ma.masked_array(X, X > 2),
        sp.csr_matrix(X[:, :4]),
        None,
    ):
        with pytest.raises((ValueError, TypeError)):
            model.predict(bad)
        with pytest.raises((ValueError, TypeError)):
            model.partial_fit(bad, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("container", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fit_says_of_x_what_scikit_learn_says(container: Any, dtype: str, value: float) -> None:
    X, y = draw()
    X = container(X.astype(dtype))
    X[-1, 1] = value
    messages = []
    for estimator in (MLPRegressor, BackpropRegressor):
        with pytest.raises(ValueError, match="Input X contains") as caught:
            estimator(max_iter=2).fit(X, y)
        messages.append(str(caught.value).replace("MLPRegressor", "BackpropRegressor"))
    assert messages[0] == messages[1]


def test_assumed_finite_is_not_looked_for() -> None:
    """As with scikit-learn, NaN is then the user's own affair, and found in the weights."""
    X, y = draw()
    X[3, 2] = np.nan
    with sklearn.config_context(assume_finite=True), pytest.raises(ValueError, match="non-finite"):
        BackpropRegressor(max_iter=2).fit(X, y)


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_lazy_frames_raise(estimator: type) -> None:
    frame = pytest.importorskip("polars").DataFrame({"a": [0.0, 1.0, 2.0], "y": [0, 1, 0]})
    X, y = frame.select("a"), frame["y"]
    model = estimator(max_iter=1).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given, names in (((X.lazy(), y), "X"), ((X, frame.select("y").lazy()), "y")):
            with pytest.raises(ValueError, match=rf"^{names} is a LazyFrame.*collect\(\)"):
                model.fit(*given)
        with pytest.raises(ValueError, match=r"X_val.*X is a LazyFrame"):
            model.fit(X, y, X_val=X.lazy(), y_val=y)
        with pytest.raises(ValueError, match="X is a LazyFrame"):
            model.predict(X.lazy())


def test_masked_arrays_raise() -> None:
    X, y = draw()
    masked = {"X": X, "y": y, "sample_weight": np.ones(len(y))}
    for name in masked:
        data = {**masked, name: np.ma.masked_array(masked[name], masked[name] > 2)}
        with pytest.raises(ValueError, match=f"{name} is a masked array"):
            BackpropRegressor().fit(**data)


# Numbers that float32 does not hold


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_matrix, sp.csc_matrix])
def test_beyond_float32(container: Any) -> None:
    X, y = draw()
    X[7, 3] = -1e39
    model = BackpropRegressor(max_iter=2, random_state=0)
    message = r"^Solver produced non-finite parameter weights\. .* X\[7, 3\] = -1e\+39 .*float64"
    with pytest.raises(ValueError, match=message):
        model.fit(container(X), y)
    model.fit(np.clip(X, -9, 9), y)
    with pytest.raises(ValueError, match=r"^X\[7, 3\] = -1e\+39 is beyond"):
        model.predict(container(X))
    model.set_params(dtype="float64", solver="lbfgs").fit(container(X / 1e36), y)
    model.predict(container(X / 1e36))


def test_targets_and_weights_beyond_float32() -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=r"y\[0, 0\] = 1e\+39"):
        BackpropRegressor().fit(X, np.full(len(y), 1e39))
    with pytest.raises(ValueError, match=r"sample_weight\[2\] = 1e\+39"):
        BackpropRegressor().fit(X, y, np.where(np.arange(len(y)) == 2, 1e39, 1))


def test_float32_limits_are_within() -> None:
    limit = np.finfo(np.float32).max
    refuse_beyond_float32(np.array([[limit, -limit, 0]], dtype=np.float64), "X")
    refuse_beyond_float32(np.array([[2**63]], dtype=np.uint64), "X")
    refuse_beyond_float32(sp.csr_matrix((3, 3)), "X")
    with pytest.raises(ValueError, match="float32"):
        refuse_beyond_float32(np.array([np.nextafter(float(limit), np.inf)]), "X")


# Sample weights


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_weights_of_one_are_no_weights(solver: str, dtype: str) -> None:
    X, y = draw()
    params = {"solver": solver, "dtype": dtype, "max_iter": 5, "random_state": 0}
    plain = BackpropRegressor(**params).fit(X, y)
    weighted = BackpropRegressor(**params).fit(X, y, np.ones(len(y)))
    np.testing.assert_array_equal(plain.coefs_[0], weighted.coefs_[0])
    assert plain.loss_ == weighted.loss_


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_batches_without_weight_are_skipped(solver: str) -> None:
    X, y = draw(40)
    weight = np.ones(40)
    weight[10:20] = 0
    params = {"solver": solver, "batch_size": 10, "shuffle": False, "alpha": 0, "random_state": 0}
    model = BackpropRegressor(max_iter=3, **params).fit(X, y, weight)
    rest = np.r_[0:10, 20:40]
    expected = BackpropRegressor(max_iter=3, **params).fit(X[rest], y[rest])
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])
    assert model._optimizer.step_count == 9
    assert model.t_ == 120
    np.testing.assert_allclose(model.loss_curve_, 0.75 * np.array(expected.loss_curve_))


def test_weights_are_like_repeated_rows() -> None:
    X, y = draw()
    times = np.random.default_rng(1).integers(0, 4, len(y))
    params = {"batch_size": 1000, "shuffle": False, "dtype": "float64", "random_state": 0}
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger"):
        weighted = BackpropRegressor(max_iter=10, **params).fit(X, y, times)
        repeated = BackpropRegressor(max_iter=10, **params).fit(
            np.repeat(X, times, axis=0), np.repeat(y, times)
        )
    np.testing.assert_allclose(weighted.coefs_[0], repeated.coefs_[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(50), "at least one non-zero"),
        (np.where(np.arange(50) == 3, -1.0, 1), "Negative values"),
        (np.full(50, np.nan), "NaN"),
        (np.full(50, np.inf), "infinity"),
        (np.ones(49), "sample_weight"),
        (np.ones((50, 2)), "1D"),
        (["heavy"] * 50, "heavy"),
    ],
)
def test_bad_weights_raise(weight: Any, message: str) -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=message):
        BackpropRegressor().fit(X, y, weight)


def test_both_parts_of_a_split_need_weight() -> None:
    X, y = draw()
    model = BackpropRegressor(validation_fraction=0.2)
    samples = Samples(X, y[:, None], np.ones(len(y)))
    train_rows, validation = split_rows(model, samples, np.random.RandomState(0))
    assert (len(train_rows), len(validation.rows)) == (40, 10)
    weight = np.zeros(len(y))
    weight[train_rows] = 1
    for heavy, where in ((weight, "of the validation set"), (1 - weight, "outside the validation")):
        with pytest.raises(ValueError, match=f"Sample weights {where}"):
            split_rows(model, samples._replace(sample_weight=heavy), np.random.RandomState(0))


def test_columns_are_checked_by_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy would read all of X in one call, which no interrupt ends."""
    X, y = draw(300, 7)
    X = np.asfortranarray(X)
    read: list[int] = []
    check = sklearn.utils.validation._assert_all_finite

    def recorded(array: Any, *args: Any, **options: Any) -> None:
        read.append(np.size(array))
        check(array, *args, **options)

    monkeypatch.setattr(sklearn.utils.validation, "_assert_all_finite", recorded)
    model = BackpropRegressor(max_iter=1, random_state=0).fit(X, y)
    model.predict(X)
    assert len(y) in read
    assert X.size not in read
