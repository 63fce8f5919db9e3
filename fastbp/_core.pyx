# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, embedsignature=True
"""A thin skin over csrc/fbp.h: checks and borrows NumPy arrays, releases the GIL, raises.

Nothing here is policy. ``_core.pyi`` says what each part takes and gives.
"""

import os
from collections import namedtuple

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastbp._fbp cimport *

cnp.import_array()

cdef extern from *:
    """
    #if defined(__clang__)
    #define FASTBP_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define FASTBP_COMPILER "gcc " __VERSION__
    #elif defined(_MSC_VER)
    #define FASTBP_COMPILER "msvc"
    #else
    #define FASTBP_COMPILER "unknown"
    #endif
    """
    const char *FASTBP_COMPILER

Progress = namedtuple("Progress", "loss_sum n_rows n_steps")

_PID = os.getpid()
_pinned_isa = None


cdef tuple _names(const char *(*name)(int) noexcept nogil, int count):
    return tuple(name(i).decode() for i in range(count))


def names():
    """Return the registry: names of activations, losses, solvers, precisions, kernel families."""
    return {
        "activations": _names(fbp_activation_name, FBP_N_ACTIVATIONS),
        "losses": _names(fbp_loss_name, FBP_N_LOSSES),
        "solvers": _names(fbp_solver_name, FBP_N_SOLVERS),
        "isas": _names(fbp_isa_name, FBP_N_ISAS),
        "precisions": _names(fbp_precision_name, FBP_N_PRECISIONS),
    }


_NAMES = names()
CHUNK_ROWS = FBP_CHUNK_ROWS  # of a batch, held at once
_DTYPES = {"float32": FBP_F32, "float64": FBP_F64}
_ACTIVATION_IDS = {name: i for i, name in enumerate(_NAMES["activations"])}
_LOSS_IDS = {name: i for i, name in enumerate(_NAMES["losses"])}
_PRECISION_IDS = {name: i for i, name in enumerate(_NAMES["precisions"])}


def available_isas():
    """Return the kernel families that this build, CPU and system can run, the fastest last."""
    return [name for i, name in enumerate(_NAMES["isas"]) if fbp_isa_available(i)]


def fused_isas(dtype):
    """Return the available families that give the bits of ref; any other has bits of its own."""
    real = _real(dtype)
    return [isa for isa in available_isas() if fbp_isa_fused(_NAMES["isas"].index(isa), real)]


def default_isa(precision="highest", dtype="float32"):
    """Return the family that FASTBP_ISA pins, read at first use, or else the fastest."""
    global _pinned_isa
    if _pinned_isa is None:
        pinned = os.environ.get("FASTBP_ISA")
        _pinned_isa = _check_isa(pinned) if pinned else ""
    if _pinned_isa:
        return _pinned_isa
    return _NAMES["isas"][fbp_isa_best(_real(dtype), _lookup("precisions", precision))]


def _check_isa(isa):
    if isa not in available_isas():
        raise ValueError(
            f"Kernel family {isa!r} (FASTBP_ISA) is not available here; the available ones are: "
            f"{', '.join(available_isas())}."
        )
    return isa


def max_threads():
    """Return the threads OpenMP would use now; 1 in a forked child, whose team did not survive."""
    return fbp_max_threads() if os.getpid() == _PID else 1


def build_info():
    """Return what the core was built with: compiler, OpenMP specification, kernel families."""
    version = fbp_openmp_version()
    return {
        "compiler": FASTBP_COMPILER.decode(),
        "openmp": str(version) if version else "none",
        "families": ", ".join(_NAMES["isas"]),
    }


def _lookup(kind, name):
    known = _NAMES[kind]
    if name not in known:
        raise ValueError(f"Unknown {kind[:-1]} {name!r}; known are: {', '.join(known)}.")
    return known.index(name)


cdef int _real(dtype) except -1:
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
    return _DTYPES[dtype]


cdef const void *_borrow(array, dtype, tuple shape, str name) except NULL:
    """The data of a C-contiguous array of exactly this dtype and shape."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}.")
    if array.dtype != dtype or not array.dtype.isnative:
        raise ValueError(f"{name} must have dtype {np.dtype(dtype)}, got {array.dtype}.")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"{name} must be C-contiguous and aligned.")
    return cnp.PyArray_DATA(<cnp.ndarray>array)


cdef fbp_matrix _dense(X) except *:
    cdef fbp_matrix x
    if X.ndim != 2:
        raise ValueError(f"X must have 2 dimensions, got {X.ndim}.")
    n_rows, n_cols = X.shape
    item = X.itemsize
    if not X.flags.aligned or X.strides[0] % item:
        raise ValueError("X must be aligned.")
    if n_rows and ((n_cols > 1 and X.strides[1] != item)
                   or (n_rows > 1 and X.strides[0] < n_cols * item)):
        raise ValueError("X must have contiguous rows.")
    x.n_rows, x.n_cols = n_rows, n_cols
    x.real = _matrix_real(X)
    x.index_bits = 0
    x.data = cnp.PyArray_DATA(<cnp.ndarray>X)
    x.ld = X.strides[0] // item if n_rows > 1 else n_cols
    x.indices = NULL
    x.indptr = NULL
    return x


cdef fbp_matrix _csr(X) except *:
    cdef fbp_matrix x
    bits = X.indices.dtype
    if bits not in (np.int32, np.int64):
        raise ValueError(f"X's indices must be int32 or int64, got {bits}.")
    x.n_rows, x.n_cols = X.shape
    x.real = _matrix_real(X)
    x.index_bits = 8 * bits.itemsize
    x.ld = 0
    n_values = int(X.indptr[-1])
    if len(X.data) < n_values or len(X.indices) < n_values:
        raise ValueError("X's data and indices must be as long as indptr says.")
    x.data = _borrow(X.data, X.data.dtype, (len(X.data),), "X.data")
    x.indices = _borrow(X.indices, bits, (len(X.indices),), "X.indices")
    x.indptr = _borrow(X.indptr, bits, (X.shape[0] + 1,), "X.indptr")
    return x


cdef int32_t _matrix_real(X) except -1:
    if X.dtype.name not in _DTYPES or not X.dtype.isnative:
        raise ValueError(f"X must have dtype float32 or float64, got {X.dtype}.")
    return _DTYPES[X.dtype.name]


cdef fbp_matrix _matrix(X, int64_t n_cols, bint sparse) except *:
    """Borrow X, dense with contiguous rows or CSR, or CSR only."""
    cdef fbp_matrix x
    if isinstance(X, np.ndarray) and sparse:
        raise TypeError("X must be a CSR matrix: the net was made for sparse X.")
    if isinstance(X, np.ndarray):
        x = _dense(X)
    elif getattr(X, "format", None) == "csr":
        x = _csr(X)
    else:
        raise TypeError(f"X must be a NumPy array or a CSR matrix, got {type(X).__name__}.")
    if x.n_cols != n_cols:
        raise ValueError(f"X has {x.n_cols} columns, but the net takes {n_cols}.")
    return x


cdef class _Poll:
    """What stopped a call: a signal's or the function's exception, or the function's True."""

    cdef object function, error

    def __init__(self, function):
        self.function = function
        self.error = None


cdef int _ask(void *context) noexcept with gil:
    poll = <_Poll>context
    try:
        PyErr_CheckSignals()
        return poll.function is not None and bool(poll.function())
    except BaseException as error:
        poll.error = error
        return 1


cdef class Net:
    """A network in the C core: weights, solver state and scratch memory of one fit or predict."""

    cdef fbp_net *net
    cdef bint busy
    cdef int solver, codes
    cdef int64_t max_rows
    cdef bint sparse
    cdef readonly tuple units
    cdef readonly str isa, precision
    cdef readonly int n_threads
    cdef readonly object progress, dtype

    def __cinit__(self):
        self.net = NULL

    def __dealloc__(self):
        fbp_net_destroy(self.net)

    def __init__(self, units, activations, loss, *, dtype, solver="gradient", max_rows=0,
                 max_row_nonzeros=0, max_batch_nonzeros=0, n_threads=1, fixed_threads=False,
                 isa=None, precision="highest"):
        cdef fbp_spec spec
        if self.net != NULL:
            raise RuntimeError("A Net is made once.")
        if len(units) < 2 or len(activations) != len(units) - 2:
            raise ValueError(
                f"units must hold inputs, hidden layers and outputs, and activations one name per "
                f"hidden layer; got {len(units)} and {len(activations)}."
            )
        self.units = tuple(int(n) for n in units)
        if min(self.units) < 1 or n_threads < 1 or max_rows < 0:
            raise ValueError("units and n_threads must be at least 1, max_rows at least 0.")
        if min(max_row_nonzeros, max_batch_nonzeros) < 0:
            raise ValueError("max_row_nonzeros and max_batch_nonzeros must be at least 0.")
        if max(*self.units, max_rows, max_row_nonzeros, max_batch_nonzeros) >= 2**63:
            raise MemoryError("A network of that size cannot be addressed.")
        cdef cnp.ndarray sizes = np.array(self.units, dtype=np.int64)
        cdef cnp.ndarray acts = np.array(
            [_lookup("activations", name) for name in activations] + [0], dtype=np.int32
        )
        self.dtype = np.dtype(dtype)
        self.precision = precision
        self.n_threads = n_threads
        self.max_rows = max_rows
        self.sparse = max_row_nonzeros > 0
        self.solver = _lookup("solvers", solver)
        self.codes = fbp_loss_takes_codes(_lookup("losses", loss))
        if self.codes and self.units[-1] < 2:
            raise ValueError(f"loss {loss!r} needs two outputs or more.")
        self.progress = Progress(0.0, 0, 0)
        memset(&spec, 0, sizeof(fbp_spec))
        spec.n_layers = len(units) - 1
        spec.units = <const int64_t *>cnp.PyArray_DATA(sizes)
        spec.activations = <const int32_t *>cnp.PyArray_DATA(acts)
        spec.loss = _lookup("losses", loss)
        spec.solver = self.solver
        spec.real = _real(self.dtype.name)
        spec.precision = _lookup("precisions", precision)
        spec.n_threads = n_threads
        spec.fixed_threads = fixed_threads
        spec.max_rows = max_rows
        spec.max_row_nonzeros = max_row_nonzeros
        spec.max_batch_nonzeros = max_batch_nonzeros
        self._create(&spec, isa)

    cdef _create(self, fbp_spec *spec, isa):
        """Create the net; where the family chosen for it fails when first asked, the next best."""
        cdef fbp_status status = FBP_EISA
        chosen = None
        while status == FBP_EISA:
            self.isa = _check_isa(isa) if isa else default_isa(self.precision, self.dtype.name)
            if self.isa == chosen:
                _check_isa(chosen)
                break
            chosen = self.isa
            spec.isa = _NAMES["isas"].index(chosen)
            status = fbp_net_create(spec, &self.net)
        _check(status)

    cdef _borrow_data(self, fbp_data *data, X, y, sample_weight):
        """Point data at the samples."""
        data.x = _matrix(X, self.units[0], self.sparse)
        n_rows = data.x.n_rows
        if self.codes:
            data.y = _borrow(y, np.int32, (n_rows,), "y")
        else:
            data.y = _borrow(y, self.dtype, (n_rows, self.units[-1]), "y")
        data.weights = NULL
        if sample_weight is not None:
            data.weights = _borrow(sample_weight, self.dtype, (n_rows,), "sample_weight")

    def _check_idle(self):
        if self.busy:
            raise RuntimeError("This Net is already at work.")

    def _begin(self):
        self._check_idle()
        self.busy = True

    def set_weights(self, coefs, intercepts):
        """Put copies of every layer's parameters in."""
        self._put_layers(coefs, intercepts, -1)

    def get_weights(self):
        """Return new arrays: every layer's weights [fan_in × fan_out], and intercepts."""
        return self._take_layers(-1)

    def _shapes(self):
        return list(zip(self.units[:-1], self.units[1:], strict=True))

    def _put_layers(self, coefs, intercepts, int moment):
        cdef const void *w
        cdef const void *b
        self._check_idle()
        shapes = self._shapes()
        if len(coefs) != len(shapes) or len(intercepts) != len(shapes):
            raise ValueError(f"The net has {len(shapes)} layers, got {len(coefs)} arrays of "
                             f"weights and {len(intercepts)} of intercepts.")
        for i, shape in enumerate(shapes):  # all are checked before any is used
            _borrow(coefs[i], self.dtype, shape, f"coefs[{i}]")
            _borrow(intercepts[i], self.dtype, shape[1:], f"intercepts[{i}]")
        for i, shape in enumerate(shapes):
            w = _borrow(coefs[i], self.dtype, shape, "")
            b = _borrow(intercepts[i], self.dtype, shape[1:], "")
            if moment < 0:
                _check(fbp_net_set_layer(self.net, i, w, b))
            else:
                _check(fbp_net_set_moment(self.net, i, moment, w, b))

    def _take_layers(self, int moment):
        self._check_idle()
        coefs = [np.empty(shape, self.dtype) for shape in self._shapes()]
        intercepts = [np.empty(n, self.dtype) for n in self.units[1:]]
        for i in range(len(coefs)):
            w = cnp.PyArray_DATA(<cnp.ndarray>coefs[i])
            b = cnp.PyArray_DATA(<cnp.ndarray>intercepts[i])
            if moment < 0:
                _check(fbp_net_get_layer(self.net, i, w, b))
            else:
                _check(fbp_net_get_moment(self.net, i, moment, w, b))
        return coefs, intercepts

    def get_solver_state(self):
        """Return what a later fit needs to go on: solver, step count, copies of its moments."""
        return {
            "solver": _NAMES["solvers"][self.solver],
            "step_count": fbp_net_get_step_count(self.net),
            "moments": [self._take_layers(m) for m in range(fbp_solver_n_moments(self.solver))],
        }

    def set_solver_state(self, state, double beta_1, double beta_2):
        """Put such a state in; it must be this solver's."""
        name, moments = _NAMES["solvers"][self.solver], state["moments"]
        if state["solver"] != name or len(moments) != fbp_solver_n_moments(self.solver):
            raise ValueError(f"The state is of solver {state['solver']!r}, the net's is {name!r}.")
        for m, (coefs, intercepts) in enumerate(moments):
            self._put_layers(coefs, intercepts, m)
        _check(fbp_net_set_step_count(self.net, state["step_count"], beta_1, beta_2))

    def train(self, X, y, order, int64_t batch_rows, *, sample_weight=None, double alpha=0.0,
              double learning_rate=0.001, double momentum=0.0, double beta_1=0.9,
              double beta_2=0.999, double epsilon=1e-8, poll=None):
        """Train over the rows named by order, in mini-batches."""
        cdef fbp_data data
        cdef fbp_step step
        cdef fbp_progress progress = [0.0, 0, 0]
        cdef fbp_status status
        cdef const int64_t *rows = NULL
        self._borrow_data(&data, X, y, sample_weight)
        cdef int64_t n_order = data.x.n_rows
        if order is not None:
            n_order = len(order)
            rows = <const int64_t *>_borrow(order, np.int64, (n_order,), "order")
        if _NAMES["solvers"][self.solver] == "gradient":
            raise ValueError("A net with solver 'gradient' does not train.")
        if not 1 <= batch_rows <= self.max_rows:
            raise ValueError(f"batch_rows must be 1 to max_rows={self.max_rows}, got {batch_rows}.")
        asked = _Poll(poll)
        step.alpha, step.learning_rate, step.momentum = alpha, learning_rate, momentum
        step.beta_1, step.beta_2, step.epsilon = beta_1, beta_2, epsilon
        step.poll, step.poll_context = _ask, <void *>asked
        self._begin()
        try:
            with nogil:
                status = fbp_train(self.net, &data, rows, n_order, batch_rows, &step, &progress)
        finally:
            self.busy = False
        self.progress = Progress(progress.loss_sum, progress.n_rows, progress.n_steps)
        _finish(status, asked, "X, y, sample_weight or order")
        return self.progress

    def loss_gradient(self, parameters, X, y, *, sample_weight=None, double alpha=0.0, poll=None):
        """Set the weights from one flat vector; return the loss there and its flat gradient."""
        cdef fbp_data data
        cdef fbp_step step
        cdef fbp_status status
        cdef double loss = 0.0
        if _NAMES["solvers"][self.solver] != "gradient":
            raise ValueError("loss_gradient needs a net with solver 'gradient'.")
        shapes = self._shapes()
        sizes = [i * o for i, o in shapes] + list(self.units[1:])
        size = sum(sizes)
        _borrow(parameters, self.dtype, (size,), "parameters")
        parts = np.split(parameters, np.cumsum(sizes)[:-1])
        coefs = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
        self.set_weights(coefs, parts[len(shapes):])
        self._borrow_data(&data, X, y, sample_weight)
        if not 1 <= data.x.n_rows <= self.max_rows:
            raise ValueError(
                f"X must have 1 to max_rows={self.max_rows} rows, got {data.x.n_rows}."
            )
        gradient = np.empty(size, self.dtype)
        cdef void *grad = cnp.PyArray_DATA(<cnp.ndarray>gradient)
        asked = _Poll(poll)
        step.alpha, step.learning_rate, step.momentum = alpha, 0.0, 0.0
        step.beta_1, step.beta_2, step.epsilon = 0.0, 0.0, 0.0
        step.poll, step.poll_context = _ask, <void *>asked
        self._begin()
        try:
            with nogil:
                status = fbp_loss_gradient(self.net, &data, &step, &loss, grad)
        finally:
            self.busy = False
        _finish(status, asked, "X, y or sample_weight")
        if status == FBP_ESTOPPED:
            raise InterruptedError("The gradient was stopped by poll.")
        return loss, gradient

    def predict(self, X, *, bint raw=False, dtype=None, poll=None):
        """Return predictions [n × n_out] after the loss's link, or z before it (raw)."""
        cdef fbp_status status
        cdef fbp_matrix x = _matrix(X, self.units[0], self.sparse)
        out_dtype = self.dtype if dtype is None else np.dtype(dtype)
        cdef int32_t real = _real(out_dtype.name)
        out = np.empty((x.n_rows, self.units[-1]), out_dtype)
        cdef void *data = cnp.PyArray_DATA(<cnp.ndarray>out)
        cdef int flags = FBP_PREDICT_RAW if raw else 0
        asked = _Poll(poll)
        self._begin()
        try:
            with nogil:
                status = fbp_predict(self.net, &x, flags, _ask, <void *>asked, real, data)
        finally:
            self.busy = False
        _finish(status, asked, "X")
        if status == FBP_ESTOPPED:
            raise InterruptedError("The prediction was stopped by poll.")
        return out


# Prediction from a model's own arrays, if all is plain

cdef enum:
    MOST_LAYERS = 32
    ROWS_IN_PLACE = 32  # up to here, multiplying by W where it lies is quicker than packing it
    SCRATCH_ON_STACK = 32768
    WORK_WITHOUT_GIL = 200_000  # multiply-adds from which other Python threads may run meanwhile
    WORK_FOR_TWO = 20_000_000  # from which a second thread pays, as csrc/predict.c has it

cdef struct _Plain:
    fbp_model model
    fbp_matrix x
    int64_t units[MOST_LAYERS + 1]
    int32_t activations[MOST_LAYERS]
    const void *coefs[MOST_LAYERS]
    const void *intercepts[MOST_LAYERS]
    int64_t work  # multiply-adds


cdef inline bint _is_plain(array, int type_number, int ndim):
    """Whether it is just an array, C-contiguous, aligned and native, of a given type."""
    return (cnp.PyArray_CheckExact(array) and cnp.PyArray_TYPE(<cnp.ndarray>array) == type_number
            and cnp.PyArray_NDIM(<cnp.ndarray>array) == ndim
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>array))


cdef bint _plain_x(fbp_matrix *x, X) except -1:
    """Borrow X if it is just an array of floats, with one row or more and contiguous rows."""
    if not cnp.PyArray_CheckExact(X):
        return False
    cdef cnp.ndarray array = <cnp.ndarray>X
    cdef int type_number = cnp.PyArray_TYPE(array)
    cdef cnp.npy_intp item = cnp.PyArray_ITEMSIZE(array)
    if ((type_number != cnp.NPY_FLOAT and type_number != cnp.NPY_DOUBLE)
            or cnp.PyArray_NDIM(array) != 2 or not cnp.PyArray_ISALIGNED(array)
            or not cnp.PyArray_ISNOTSWAPPED(array)):
        return False
    x.n_rows, x.n_cols = cnp.PyArray_DIM(array, 0), cnp.PyArray_DIM(array, 1)
    x.ld = x.n_cols if x.n_rows == 1 else cnp.PyArray_STRIDE(array, 0) // item
    if (x.n_rows < 1 or x.n_cols < 1 or x.ld < x.n_cols
            or (x.n_rows > 1 and cnp.PyArray_STRIDE(array, 0) % item)
            or (x.n_cols > 1 and cnp.PyArray_STRIDE(array, 1) != item)):
        return False
    x.real = FBP_F32 if type_number == cnp.NPY_FLOAT else FBP_F64
    x.index_bits = 0
    x.data = cnp.PyArray_DATA(array)
    x.indices = x.indptr = NULL
    return True


cdef bint _plain_layers(_Plain *p, tuple coefs, tuple intercepts, int type_number) except -1:
    """Borrow the layers if they are just arrays of one type of float, each fitting the next."""
    cdef int i, n_layers = len(coefs)
    p.work = 0
    for i in range(n_layers):
        w, b = coefs[i], intercepts[i]
        if not _is_plain(w, type_number, 2) or not _is_plain(b, type_number, 1):
            return False
        if (cnp.PyArray_DIM(<cnp.ndarray>w, 0) != p.units[i]
                or cnp.PyArray_DIM(<cnp.ndarray>w, 1) != cnp.PyArray_DIM(<cnp.ndarray>b, 0)):
            return False
        p.units[i + 1] = cnp.PyArray_DIM(<cnp.ndarray>w, 1)
        p.coefs[i] = cnp.PyArray_DATA(<cnp.ndarray>w)
        p.intercepts[i] = cnp.PyArray_DATA(<cnp.ndarray>b)
        p.work += cnp.PyArray_SIZE(<cnp.ndarray>w)
    p.work *= p.x.n_rows
    return True


cdef bint _describe(_Plain *p, X, tuple coefs, tuple intercepts, n_in, n_out, activation,
                    loss, precision) except -1:
    """Describe a call to the core, if all is such that nothing needs to be converted or said."""
    cdef int i, n_layers = len(coefs)
    cdef int type_number
    if not _plain_x(&p.x, X) or not 1 <= n_layers <= MOST_LAYERS or len(intercepts) != n_layers:
        return False
    if type(n_in) is not int or type(n_out) is not int or p.x.n_cols != n_in:
        return False
    if not cnp.PyArray_CheckExact(coefs[0]):
        return False
    type_number = cnp.PyArray_TYPE(<cnp.ndarray>coefs[0])
    if type_number != cnp.NPY_FLOAT and type_number != cnp.NPY_DOUBLE:
        return False
    p.units[0] = p.x.n_cols
    if not _plain_layers(p, coefs, intercepts, type_number) or p.units[n_layers] != n_out:
        return False
    for i in range(n_layers - 1):
        p.activations[i] = _ACTIVATION_IDS[activation]
    p.model.coefs, p.model.intercepts = p.coefs, p.intercepts
    spec = &p.model.spec
    memset(spec, 0, sizeof(fbp_spec))
    spec.n_layers = n_layers
    spec.units, spec.activations = p.units, p.activations
    spec.loss, spec.solver = _LOSS_IDS[loss], 0
    spec.real = FBP_F32 if type_number == cnp.NPY_FLOAT else FBP_F64
    if precision not in _PRECISION_IDS:
        return False
    spec.precision = _PRECISION_IDS[precision]
    spec.isa = _default_isa_id(spec.precision, spec.real)
    spec.n_threads = 1
    spec.predict_rows = p.x.n_rows
    return True


cdef int _default_isa_id(int precision, int real) except -1:
    if _pinned_isa == "":
        return fbp_isa_best(real, precision)
    return _NAMES["isas"].index(default_isa())


def predict_plain(X, coefs, intercepts, n_in, n_out, activation, loss, precision, bint raw,
                  bint as_computed, thread_limit):
    """Predict from a model's own arrays; None where something asks for a closer look."""
    cdef _Plain p
    if type(coefs) is not list or type(intercepts) is not list:
        return None
    # Tuples of our own keep the arrays alive, whatever becomes of the lists meanwhile.
    held = tuple(coefs), tuple(intercepts)
    if not _describe(&p, X, held[0], held[1], n_in, n_out, activation, loss,
                     precision):
        return None
    cdef int32_t real = p.model.spec.real if as_computed else p.x.real
    cdef cnp.npy_intp[2] shape = [p.x.n_rows, p.units[p.model.spec.n_layers]]
    out = cnp.PyArray_SimpleNew(2, shape, cnp.NPY_FLOAT if real == FBP_F32 else cnp.NPY_DOUBLE)
    cdef void *data = cnp.PyArray_DATA(<cnp.ndarray>out)
    cdef int flags = FBP_PREDICT_STRICT | (FBP_PREDICT_RAW if raw else 0)
    cdef fbp_status status
    if p.x.n_rows <= ROWS_IN_PLACE and not fbp_spec_splits(&p.model.spec):
        status = _predict_in_place(&p, flags, real, data)
        _finish(status if status != FBP_ENONFINITE else FBP_OK, _NEVER_ASKED, "X")
    else:
        if p.work >= WORK_FOR_TWO:
            p.model.spec.n_threads = thread_limit()
        status = _predict_packed(&p, flags, real, data)
        if status == FBP_EISA:  # known only now; a Net finds the next best family
            return None
    return out if status != FBP_ENONFINITE else None


cdef fbp_status _predict_in_place(_Plain *p, int flags, int32_t real, void *out) except -1:
    cdef char[SCRATCH_ON_STACK] on_stack
    cdef size_t size = fbp_predict_rows_bytes(&p.model)
    cdef void *scratch = on_stack if size <= SCRATCH_ON_STACK else PyMem_RawMalloc(size)
    cdef fbp_status status
    if scratch == NULL:
        raise MemoryError
    if p.work < WORK_WITHOUT_GIL:
        status = fbp_predict_rows(&p.model, &p.x, flags, scratch, real, out)
    else:
        with nogil:
            status = fbp_predict_rows(&p.model, &p.x, flags, scratch, real, out)
    if scratch != on_stack:
        PyMem_RawFree(scratch)
    return status


cdef fbp_status _predict_packed(_Plain *p, int flags, int32_t real, void *out) except -1:
    cdef fbp_net *net = NULL
    cdef fbp_status status
    cdef int i
    asked = _Poll(None)
    with nogil:
        status = fbp_model_check(&p.model)
        if status == FBP_OK:
            status = fbp_net_create(&p.model.spec, &net)
        if status == FBP_OK:
            for i in range(p.model.spec.n_layers):
                fbp_net_set_layer(net, i, p.coefs[i], p.intercepts[i])
            status = fbp_predict(net, &p.x, flags, _ask, <void *>asked, real, out)
        fbp_net_destroy(net)
    _finish(status if status not in (FBP_ENONFINITE, FBP_EISA) else FBP_OK, asked, "X")
    return status


_NEVER_ASKED = _Poll(None)


cdef _finish(fbp_status status, _Poll asked, str culprits):
    """Raise what stopped a call, or what it found wrong; a stop by poll alone is no error."""
    if asked.error is not None:
        raise asked.error
    if status == FBP_EINVAL:
        raise ValueError(f"{culprits} hold invalid row numbers, column indices, codes or weights.")
    if status != FBP_ESTOPPED:
        _check(status)


cdef _check(fbp_status status):
    if status == FBP_OK:
        return
    text = fbp_status_text(status).decode()
    raise (MemoryError if status == FBP_ENOMEM else ValueError)(f"fastbp's core: {text}.")
