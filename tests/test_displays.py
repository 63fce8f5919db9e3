# SPDX-License-Identifier: BSD-3-Clause
"""The plots: what is drawn, from which models, and what they say when they cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from models import draw
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor, LossCurveDisplay, WeightsDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def pyplot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give matplotlib a backend without windows, and close what was drawn."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    yield pyplot
    pyplot.close("all")


def classifier(**params: Any) -> BackpropClassifier:
    return BackpropClassifier((5,), max_iter=6, random_state=0, **params)


def drawn(ax: Any) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each line, by what it is called."""
    return {line.get_label(): [*zip(*line.get_data(), strict=True)] for line in ax.get_lines()}


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


# Loss curves


def test_a_training_with_early_stopping() -> None:
    model = classifier(early_stopping=True).fit(*draw())
    display = LossCurveDisplay.from_estimator(model)
    best = model.best_n_iter_
    assert best is not None
    scores, losses = model.validation_scores_, model.validation_loss_curve_
    epochs = range(1, len(model.loss_curve_) + 1)
    assert drawn(display.ax_) == {
        "training": [*zip(epochs, model.loss_curve_, strict=True)],
        "validation": [*zip(epochs, losses, strict=True)],
        f"restored: epoch {best}": [(best, model.loss_curve_[best - 1])],
        "_restored": [(best, losses[best - 1])],
    }
    assert drawn(display.score_ax_) == {
        "validation": [*zip(epochs, scores, strict=True)],
        "_restored": [(best, model.best_validation_score_)],
    }
    assert legend(display.ax_) == ["training", "validation", f"restored: epoch {best}"]
    assert display.score_ax_.get_ylabel() == "accuracy"
    assert display.score_ax_.get_xlabel() == "epoch" and display.ax_.get_xlabel() == ""
    assert len(display.lines_) == 6
    assert len({line.get_color() for line in display.lines_}) == 1
    display.figure_.canvas.draw()


def test_a_training_without_validation_data() -> None:
    model = classifier().fit(*draw())
    display = LossCurveDisplay.from_estimator(model, line_kw={"c": "red"})
    assert display.score_ax_ is None and len(display.figure_.axes) == 1
    assert [*drawn(display.ax_)] == ["training"] == legend(display.ax_)
    assert display.ax_.get_xlabel() == "epoch" and display.ax_.get_ylabel() == "loss"
    assert display.lines_[0].get_color() == "red"


def test_own_validation_data_that_stop_nothing(pyplot: Any) -> None:
    X, y = draw()
    model = classifier(scoring="loss").fit(X, y, X_val=X, y_val=y)
    display = LossCurveDisplay.from_estimator(model)
    assert legend(display.ax_) == ["training", "validation"]
    assert display.score_ax_ is None  # the score is the curve of the losses, upside down
    _, (ax, score_ax) = pyplot.subplots(2)
    display.plot(ax, score_ax=score_ax)
    assert score_ax.get_ylabel() == "minus the loss"
    scored = classifier(early_stopping=True).fit(X, y)
    display = LossCurveDisplay.from_estimators([model, scored])
    assert display.score_ax_ is not None
    assert display.score_ax_.get_ylabel() == "minus the loss, accuracy"


def test_validation_data_of_a_later_fit_stand_under_its_epochs() -> None:
    X, y = draw()
    model = classifier(warm_start=True).fit(X, y)
    model.set_params(early_stopping=True).fit(X, y)
    n_first = len(model.loss_curve_) - len(model.validation_scores_)
    assert n_first == 6
    display = LossCurveDisplay.from_estimator(model)
    points = drawn(display.ax_)
    assert points["validation"][0] == (7, model.validation_loss_curve_[0])
    best = n_first + model.best_n_iter_
    assert points[f"restored: epoch {best}"] == [(best, model.loss_curve_[best - 1])]


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({}, "R²"),
        ({"loss": "quantile"}, "D² pinball score"),
        ({"scoring": "neg_mean_absolute_error"}, "neg mean absolute error"),
        ({"scoring": lambda model, X, y: 0.0}, "score"),
    ],
)
def test_names_of_scores(params: dict[str, Any], name: str) -> None:
    X, y = draw()
    model = BackpropRegressor(max_iter=2, early_stopping=True, **params).fit(X, y)
    display = LossCurveDisplay.from_estimator(model)
    assert display.score_ax_ is not None and display.score_ax_.get_ylabel() == name


def test_several_estimators() -> None:
    X, y = draw()
    models = {"plain": classifier(), "stopped": classifier(early_stopping=True)}
    models = {name: model.fit(X, y) for name, model in models.items()}
    display = LossCurveDisplay.from_estimators(models)
    assert legend(display.ax_)[:2] == ["plain, training", "stopped, training"]
    colours = {name: display.ax_.get_lines()[n].get_color() for n, name in enumerate(models)}
    assert len(set(colours.values())) == 2
    assert display.score_ax_ is not None
    assert {line.get_color() for line in display.score_ax_.get_lines()} == {colours["stopped"]}
    again = LossCurveDisplay([*display.curves, *display.curves]).plot()
    assert len(again.lines_) == 2 * len(display.lines_)


def test_names_of_several_estimators() -> None:
    X, y = draw()
    ours, theirs = classifier().fit(X, y), MLPClassifier((5,), max_iter=3).fit(X, y)

    def names(*args: Any, **options: Any) -> list[str]:
        display = LossCurveDisplay.from_estimators(*args, **options)
        return [curves.name for curves in display.curves]

    assert names([ours, theirs]) == ["BackpropClassifier", "MLPClassifier"]
    assert names([ours, ours]) == ["BackpropClassifier 1", "BackpropClassifier 2"]
    assert names([ours, theirs], names=["a", "b"]) == ["a", "b"]
    with pytest.raises(ValueError, match="1 names for 2"):
        names([ours, theirs], names=["a"])
    with pytest.raises(ValueError, match="no estimators"):
        names([])


def test_curves_on_axes_of_ones_own(pyplot: Any) -> None:
    model = classifier(early_stopping=True).fit(*draw())
    _, (left, right) = pyplot.subplots(ncols=2)
    display = LossCurveDisplay.from_estimator(model, ax=left)
    assert display.ax_ is left and display.score_ax_ is None and not right.get_lines()
    display.plot(left, score_ax=right)
    assert display.score_ax_ is right and len(right.get_lines()) == 2
    assert display.figure_ is left.figure


def test_solvers_without_a_curve() -> None:
    model = classifier(solver="lbfgs").fit(*draw())
    with pytest.raises(ValueError, match=r"recorded no losses.*solver='lbfgs'"):
        LossCurveDisplay.from_estimator(model)


# Weights


def named(X: np.ndarray) -> Any:
    import pandas as pd

    return pd.DataFrame(X, columns=["north", "east", "south", "west"])


def labels(display: WeightsDisplay) -> list[str]:
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def test_a_heat_map() -> None:
    X, y = draw()
    model = classifier().fit(named(X), y)
    display = WeightsDisplay.from_estimator(model)
    assert np.array_equal(display.im_.get_array(), model.coefs_[0])
    assert labels(display) == ["north", "east", "south", "west"]
    low, high = display.im_.get_clim()
    assert -low == high == np.abs(model.coefs_[0]).max()
    assert display.colorbar_ is not None
    display.figure_.canvas.draw()


def test_features_and_units_of_choice() -> None:
    X, y = draw()
    model = classifier().fit(X, y)
    strongest = np.argsort(-np.linalg.norm(model.coefs_[0], axis=1))[:2]
    display = WeightsDisplay.from_estimator(model, features=2, units=[4, 1])
    assert np.array_equal(display.coef, model.coefs_[0][np.ix_(strongest, [4, 1])])
    assert labels(display) == [f"x{number}" for number in strongest]
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == ["4", "1"]
    for bad in (0, 5, [4], [-1], [0.5], [], "all"):
        with pytest.raises(ValueError, match="features"):
            WeightsDisplay.from_estimator(model, features=bad)
    with pytest.raises(ValueError, match="3 feature_names for 4"):
        WeightsDisplay.from_estimator(model, feature_names=["a", "b", "c"])


def test_more_features_than_names_have_room_for() -> None:
    display = WeightsDisplay(np.zeros((70, 80))).plot()
    assert "x0" not in labels(display) and display.ax_.get_ylabel() == "feature"


def test_images() -> None:
    coef = np.arange(30.0).reshape(6, 5) - 4
    display = WeightsDisplay(coef, image_shape=(2, 3)).plot()
    picture = np.asarray(display.im_.get_array())
    assert picture.shape == (3 * 3 - 1, 2 * 4 - 1)  # 5 images, 2 to a row, a pixel between
    assert np.array_equal(picture[:2, :3], coef[:, 0].reshape(2, 3))
    assert np.array_equal(picture[3:5, 4:7], coef[:, 3].reshape(2, 3))
    assert not picture[2].any() and not picture[:, 3].any() and not picture[6:, 4:].any()
    assert not display.ax_.axison
    # The figure has the picture's shape: the scale is no higher than the images.
    display.figure_.canvas.draw()
    images, scale = (ax.get_window_extent() for ax in (display.ax_, display.colorbar_.ax))
    assert scale.height <= 1.15 * images.height


def test_images_in_colour() -> None:
    coef = np.linspace(-1, 1, 24).reshape(12, 2)
    display = WeightsDisplay(coef, image_shape=(2, 2, 3)).plot()
    picture = np.asarray(display.im_.get_array())
    assert picture.shape[2] == 3 and picture.min() == 0 and picture.max() == 1
    assert display.colorbar_ is None


@pytest.mark.parametrize("shape", [(2, 3), (4,), (1, 2, 2), (2, 2, 1)])
def test_images_of_another_shape(shape: tuple[int, ...]) -> None:
    model = classifier().fit(*draw())
    with pytest.raises(ValueError, match="image_shape"):
        WeightsDisplay.from_estimator(model, image_shape=shape)


def test_an_image_has_all_its_pixels() -> None:
    model = classifier().fit(*draw())
    with pytest.raises(ValueError, match="features or image_shape"):
        WeightsDisplay.from_estimator(model, image_shape=(2, 2), features=2)


def test_weights_on_axes_of_ones_own(pyplot: Any) -> None:
    _, ax = pyplot.subplots()
    model = classifier().fit(*draw())
    display = WeightsDisplay.from_estimator(model, ax=ax, im_kw={"cmap": "gray"})
    assert display.ax_ is ax and display.im_.get_cmap().name == "gray"


# Models with a network inside


def test_networks_inside_other_models() -> None:
    X, y = draw()
    X = named(X)
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False))
    pipeline.steps.append(("network", classifier()))
    search = GridSearchCV(pipeline, {"network__alpha": [1e-3]}, cv=2).fit(X, y)
    curves = LossCurveDisplay.from_estimator(search).curves[0]
    assert list(curves.loss) == search.best_estimator_[-1].loss_curve_
    names = labels(WeightsDisplay.from_estimator(search, features=[0, 4]))
    assert names == ["north", "north^2"]

    network = BackpropRegressor(max_iter=2)
    nested = Pipeline([("scale", StandardScaler()), ("rest", make_pipeline(network))])
    target = TransformedTargetRegressor(nested, transformer=StandardScaler()).fit(X, y)
    assert LossCurveDisplay.from_estimator(target).curves[0].name == ""
    assert labels(WeightsDisplay.from_estimator(target))[0] == "north"


def test_steps_that_do_not_name_their_features() -> None:
    X, y = draw()
    model = make_pipeline(FunctionTransformer(np.tanh), classifier()).fit(X, y)
    assert labels(WeightsDisplay.from_estimator(model)) == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("display", [LossCurveDisplay, WeightsDisplay])
def test_models_that_are_not_fitted(display: Any) -> None:
    with pytest.raises(NotFittedError):
        display.from_estimator(make_pipeline(StandardScaler(), classifier()))


# matplotlib

WITHOUT_MATPLOTLIB = """
import sys

import fastbp

assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules), "imported too soon"
sys.modules["matplotlib"] = None  # as if it were not installed
model = fastbp.BackpropClassifier((2,), max_iter=500).fit([[0.0], [1.0]] * 9, [0, 1] * 9)
calls = [
    lambda: fastbp.LossCurveDisplay.from_estimator(model),
    lambda: fastbp.LossCurveDisplay.from_estimators([model]),
    lambda: fastbp.LossCurveDisplay([]).plot(),
    lambda: fastbp.WeightsDisplay.from_estimator(model),
    lambda: fastbp.WeightsDisplay(model.coefs_[0]).plot(),
]
for call in calls:
    try:
        call()
    except ImportError as error:
        print(error)
"""


def test_without_matplotlib() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_MATPLOTLIB],
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    message = "{} needs matplotlib, which is not installed: pip install 'fastbp[plot]'"
    names = ["LossCurveDisplay.from_estimator", "LossCurveDisplay.from_estimators"]
    names += ["LossCurveDisplay.plot", "WeightsDisplay.from_estimator", "WeightsDisplay.plot"]
    assert done.stdout.splitlines() == [message.format(name) for name in names]
