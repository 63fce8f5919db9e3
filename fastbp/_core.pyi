"""What the compiled core offers to the estimators. Shapes are written rows × columns."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Rows of a batch that are held at once; larger batches run in chunks.
CHUNK_ROWS: int

class Progress(NamedTuple):
    """How far a call to `Net.train` came."""

    loss_sum: float  # Σ over batches of (batch loss, penalty included) × (rows of the batch)
    n_rows: int  # rows of the whole batches done
    n_steps: int  # updates done

class DefaultFpenv:
    """Holds the thread to the floating-point environment that a program starts with."""

    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class Net:
    """A network in the C core: weights, solver state and scratch memory of one fit or predict."""

    #: Filled by every `train`, also when it raises: the whole updates done.
    progress: Progress
    #: Kernel family in use, such as "avx512".
    isa: str
    #: Of float32 products: "highest", "high" or "medium".
    precision: str
    n_threads: int
    units: tuple[int, ...]

    #: ``fixed_threads`` keeps all ``n_threads`` at work, even where fewer would be faster: for
    #: tests, and for measuring how a fit scales.
    def __init__(
        self,
        units: Sequence[int],
        activations: Sequence[str],
        loss: str,
        *,
        dtype: str,
        solver: str = "gradient",
        max_rows: int = 0,
        max_row_nonzeros: int = 0,  # of X, from 1 on: X is sparse, as CSR only; 0: any X
        max_batch_nonzeros: int = 0,  # in any CHUNK_ROWS rows of a batch
        n_threads: int = 1,
        fixed_threads: bool = False,
        isa: str | None = None,
        precision: str = "highest",
        loss_parameters: Sequence[float] | None = None,  # one per output, see loss_parameter
        dropout: Sequence[float] | None = None,  # of each hidden layer's outputs, in training
        clips: bool = False,  # `train` may be given max_grad_norm
    ) -> None: ...
    def set_weights(
        self, coefs: Sequence[NDArray[Any]], intercepts: Sequence[NDArray[Any]]
    ) -> None: ...
    def get_weights(self) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]: ...
    def set_solver_state(self, state: dict[str, Any], beta_1: float, beta_2: float) -> None: ...
    def get_solver_state(self) -> dict[str, Any]: ...
    #: What `get_weights` (None without ``with_weights``) and `get_solver_state` return, while the
    #: net's memory goes back piece by piece. The net can then do nothing more, also if this fails.
    def dismantle(self, with_weights: bool = True) -> tuple[Any, dict[str, Any]]: ...
    def train(
        self,
        X: Any,
        y: NDArray[Any],
        order: NDArray[np.int64] | None,
        batch_rows: int,
        *,
        sample_weight: NDArray[Any] | None = None,
        alpha: float = 0.0,
        learning_rate: float = 0.001,
        learning_rates: NDArray[np.float64] | None = None,  # instead, one per batch
        momentum: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 0.0,  # 0: any
        label_smoothing: float = 0.0,
        dropout_seed: int = 0,  # of the masks, with the step count: get_solver_state()
        poll: Callable[[], bool] | None = None,
    ) -> Progress: ...
    def loss_gradient(
        self,
        parameters: NDArray[Any],
        X: Any,
        y: NDArray[Any],
        *,
        sample_weight: NDArray[Any] | None = None,
        alpha: float = 0.0,
        label_smoothing: float = 0.0,
        delta: NDArray[Any] | None = None,  # out: Σ weights · dL/dz of the first layer
        poll: Callable[[], bool] | None = None,
    ) -> tuple[float, NDArray[Any]]: ...
    def predict(
        self,
        X: Any,
        *,
        order: NDArray[np.int64] | None = None,
        raw: bool = False,
        hidden: bool = False,  # the last hidden layer's activations instead
        dtype: str | None = None,
        poll: Callable[[], bool] | None = None,
    ) -> NDArray[Any]: ...
    #: The loss of each row, not weighted and without the penalty; for nets with max_rows >= 1.
    def row_losses(
        self,
        X: Any,
        y: NDArray[Any],
        *,
        order: NDArray[np.int64] | None = None,
        poll: Callable[[], bool] | None = None,
    ) -> NDArray[np.float64]: ...

def shuffle(order: NDArray[np.int64], random_state: np.random.RandomState) -> None:
    """Shuffle an order as ``random_state.shuffle(order)`` does, in half of the time."""

def are_within(X: Any, dtype: str, n_threads: int) -> bool: ...
def predict_plain(
    X: Any,
    coefs: Any,
    intercepts: Any,
    n_in: Any,
    n_out: Any,
    activations: Any,
    loss: str,
    precision: str,
    raw: bool,
    as_computed: bool,
    thread_limit: Callable[[], int],
    /,
) -> NDArray[Any] | None:
    """Predict from a model's own arrays, as `Net.predict` would, without a `Net`.

    None means: something is not plainly well-formed, or not finite. Whoever looks closer finds what
    to convert, or to say. The result is float32 for float32 X, otherwise float64; with
    ``as_computed`` also for float64 weights.
    """

def available_isas() -> list[str]: ...
def fused_isas(dtype: str) -> list[str]: ...
def default_isa(precision: str = "highest", dtype: str = "float32") -> str: ...
def max_threads() -> int: ...
def names() -> dict[str, tuple[str, ...]]: ...
def loss_link(loss: str) -> str: ...
def solver_moments(solver: str) -> int: ...
def loss_parameter(loss: str) -> str | None: ...
def build_info() -> dict[str, str]: ...
