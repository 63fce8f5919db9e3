# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, embedsignature=True, freethreading_compatible=True
"""A thin skin over csrc/fbp.h: checks and borrows NumPy arrays, releases the GIL, raises.

Nothing here is policy. ``_core.pyi`` says what each part takes and gives. The module's other parts
are included: the floating-point environment, names and families, arrays, losses' numbers, orders of
rows, and predictions without a ``Net``.

It may run without a GIL: a ``Net`` lets one thread in at a time, and the module's own variables are
set at import, but for the pinned family, which is the same whoever asks first.
"""

import warnings
from collections import namedtuple

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastbp._fbp cimport *

cnp.import_array()

include "_fpenv.pxi"
include "_registry.pxi"
include "_arrays.pxi"
include "_losses.pxi"
include "_shuffle.pxi"

Progress = namedtuple("Progress", "loss_sum n_rows n_steps")


cdef class Net  # below


cdef class _Poll:
    """What stopped a call: a signal's or the function's exception, or the function's True."""

    cdef object function, error
    cdef Net net  # whose progress the function may look at
    cdef fbp_progress *progress

    def __init__(self, function):
        self.function = function
        self.error = None
        self.progress = NULL


cdef object _as_tuple(const fbp_progress *progress):
    # Not by Progress(...): that runs Python's code, where an interrupt would come before the count.
    return tuple.__new__(Progress, (progress.loss_sum, progress.n_rows, progress.n_steps))


cdef int _ask(void *context) noexcept with gil:
    poll = <_Poll>context
    try:
        PyErr_CheckSignals()
        if poll.function is None:
            return 0
        if poll.progress != NULL:
            poll.net.progress = _as_tuple(poll.progress)
        return bool(poll.function())
    except BaseException as error:
        poll.error = error
        return 1


cdef _finish(fbp_status status, _Poll asked, str culprits):
    """Raise what stopped a call, or what it found wrong; a stop by poll alone is no error."""
    if asked.error is not None:
        raise asked.error
    if status == FBP_EINVAL:
        raise ValueError(f"{culprits} hold invalid row numbers, column indices, codes or weights.")
    if status != FBP_ESTOPPED:
        _check(status)
    if not _told_of_threads and fbp_threads_refused():
        _tell_of_threads()


_told_of_threads = False


cdef _tell_of_threads():
    """Warn, once in a process."""
    global _told_of_threads
    _told_of_threads = True
    warnings.warn(
        "The system refused to start a thread: a limit on processes or memory is reached. Fits and "
        "predictions use fewer threads, which changes their speed only.",
        RuntimeWarning,
        stacklevel=1,
    )


cdef _check(fbp_status status):
    if status == FBP_OK:
        return
    text = fbp_status_text(status).decode()
    raise (MemoryError if status == FBP_ENOMEM else ValueError)(f"fastbp's core: {text}.")


cdef class Net:
    """A network in the C core: weights, solver state and scratch memory of one fit or predict."""

    cdef fbp_net *net
    cdef bint busy
    cdef int solver, codes
    cdef int64_t max_rows
    cdef bint sparse, clips
    cdef readonly tuple units
    cdef readonly str isa, precision, loss
    cdef readonly int n_threads
    cdef readonly object progress, dtype

    def __cinit__(self):
        self.net = NULL

    def __dealloc__(self):
        fbp_net_destroy(self.net)

    def __init__(self, units, activations, loss, *, dtype, solver="gradient", max_rows=0,
                 max_row_nonzeros=0, max_batch_nonzeros=0, n_threads=1, fixed_threads=False,
                 isa=None, precision="highest", loss_parameters=None, dropout=None, clips=False):
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
        cdef cnp.ndarray acts = np.zeros(len(units) - 1, dtype=np.int32)
        for i, name in enumerate(activations):
            acts[i] = _lookup("activations", name)
        cdef cnp.ndarray rates = np.zeros(len(self.units), dtype=np.float64)
        if dropout is not None:
            if len(dropout) != len(activations) or not all(0 <= rate < 1 for rate in dropout):
                raise ValueError(
                    f"dropout must hold a rate in [0, 1) per hidden layer, got {dropout}."
                )
            if any(dropout) and solver == "gradient":
                raise ValueError("A net with solver 'gradient' has no dropout.")
            rates[: len(dropout)] = dropout
        self.dtype = np.dtype(dtype)
        _lookup("precisions", precision)
        self.precision = precision
        self.n_threads = n_threads
        self.max_rows = max_rows
        self.sparse = max_row_nonzeros > 0
        self.solver = _lookup("solvers", solver)
        self.loss = loss
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
        cdef cnp.ndarray parameters = _loss_parameters(
            loss, loss_parameters, self.units[-1], self.dtype, max_rows > 0
        )
        if parameters is not None:
            spec.loss_parameters = <const double *>cnp.PyArray_DATA(parameters)
        spec.dropout = <const double *>cnp.PyArray_DATA(rates)
        spec.clips = self.clips = clips
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
        if self.net == NULL:
            raise RuntimeError("This Net was dismantled.")
        if self.busy:
            raise RuntimeError("This Net is already at work.")

    cdef _begin(self):
        """Let the caller in, alone; the section is what a GIL would be, where there is none."""
        cdef bint entered
        with cython.critical_section(self):
            entered = self.net != NULL and not self.busy
            self.busy = self.busy or entered
        if not entered:
            self._check_idle()
            raise RuntimeError("This Net was at work.")  # and has just finished

    cdef void _end(self):
        with cython.critical_section(self):
            self.busy = False

    def set_weights(self, coefs, intercepts):
        """Put copies of every layer's parameters in."""
        self._put_layers(coefs, intercepts, -1)

    def get_weights(self):
        """Return new arrays: every layer's weights [fan_in × fan_out], and intercepts."""
        self._begin()
        try:
            return self._take_layers(-1)
        finally:
            self._end()

    def _shapes(self):
        return list(zip(self.units[:-1], self.units[1:], strict=True))

    def _put_layers(self, coefs, intercepts, int moment):
        self._begin()
        try:
            # tuples of our own keep the arrays alive, whatever becomes of the lists meanwhile
            self._put_tuples(tuple(coefs), tuple(intercepts), moment)
        finally:
            self._end()

    cdef _put_tuples(self, tuple coefs, tuple intercepts, int moment):
        cdef const void *w
        cdef const void *b
        shapes = self._shapes()
        if len(coefs) != len(shapes) or len(intercepts) != len(shapes):
            raise ValueError(f"The net has {len(shapes)} layers, got {len(coefs)} arrays of "
                             f"weights and {len(intercepts)} of intercepts.")
        for i, shape in enumerate(shapes):  # all are checked before any is used
            _borrow(coefs[i], self.dtype, shape, f"coefs[{i}]")
            _borrow(intercepts[i], self.dtype, shape[1:], f"intercepts[{i}]")
        asked = _Poll(None)
        for i, shape in enumerate(shapes):
            w = _borrow(coefs[i], self.dtype, shape, "")
            b = _borrow(intercepts[i], self.dtype, shape[1:], "")
            self._copy_layer(i, moment, w, b, NULL, NULL, asked)

    cdef _copy_layer(self, int layer, int moment, const void *w, const void *b, void *w_out,
                     void *b_out, _Poll asked):
        """Put a layer's parameters or moment in, or where there is room for them take them out."""
        cdef fbp_status status
        PyErr_CheckSignals()
        fbp_net_ask(self.net, _ask, <void *>asked)
        with nogil:
            if w_out != NULL and moment < 0:
                status = fbp_net_get_layer(self.net, layer, w_out, b_out)
            elif w_out != NULL:
                status = fbp_net_get_moment(self.net, layer, moment, w_out, b_out)
            elif moment < 0:
                status = fbp_net_set_layer(self.net, layer, w, b)
            else:
                status = fbp_net_set_moment(self.net, layer, moment, w, b)
        fbp_net_ask(self.net, NULL, NULL)
        _finish(status, asked, "layers")

    def _take_layers(self, int moment, bint retire=False):
        # Not by comprehensions: Cython 3.3.1's free a new object twice when a list cannot grow.
        shapes = self._shapes()
        coefs, intercepts = [None] * len(shapes), [None] * len(shapes)
        asked = _Poll(None)
        for i, shape in enumerate(shapes):
            coefs[i] = np.empty(shape, self.dtype)
            intercepts[i] = np.empty(shape[1], self.dtype)
            w = cnp.PyArray_DATA(<cnp.ndarray>coefs[i])
            b = cnp.PyArray_DATA(<cnp.ndarray>intercepts[i])
            self._copy_layer(i, moment, NULL, NULL, w, b, asked)
            if retire:
                self._retire(i, moment)
        return coefs, intercepts

    def _retire(self, int layer, int moment):
        if moment < 0:
            _check(fbp_net_retire_layer(self.net, layer))
        else:
            _check(fbp_net_retire_moment(self.net, layer, moment))

    def get_solver_state(self):
        """Return what a later fit needs to go on: solver, step count, copies of its moments."""
        self._begin()
        try:
            return self._solver_state(False)
        finally:
            self._end()

    def _solver_state(self, bint retire):
        n_moments = fbp_solver_n_moments(self.solver)
        moments = [None] * n_moments
        for m in range(n_moments):
            moments[m] = self._take_layers(m, retire)
        count = fbp_net_get_step_count(self.net)
        return {"solver": _NAMES["solvers"][self.solver], "step_count": count, "moments": moments}

    def dismantle(self, bint with_weights=True):
        """Return weights (or None) and solver state; the net is given back meanwhile, and ends."""
        self._begin()  # for good
        try:
            _check(fbp_net_retire(self.net))
            if not with_weights:
                for i in range(len(self.units) - 1):
                    self._retire(i, -1)
            weights = self._take_layers(-1, True) if with_weights else None
            return weights, self._solver_state(True)
        finally:
            fbp_net_destroy(self.net)
            self.net = NULL

    def set_solver_state(self, state, double beta_1, double beta_2):
        """Put such a state in; it must be this solver's."""
        name, moments = _NAMES["solvers"][self.solver], state["moments"]
        if state["solver"] != name or len(moments) != fbp_solver_n_moments(self.solver):
            raise ValueError(f"The state is of solver {state['solver']!r}, the net's is {name!r}.")
        for m, (coefs, intercepts) in enumerate(moments):
            self._put_layers(coefs, intercepts, m)
        _check(fbp_net_set_step_count(self.net, state["step_count"], beta_1, beta_2))

    def train(self, X, y, order, int64_t batch_rows, *, sample_weight=None, double alpha=0.0,
              double learning_rate=0.001, learning_rates=None, double momentum=0.0,
              double beta_1=0.9, double beta_2=0.999, double epsilon=1e-8,
              double weight_decay=0.0, double max_grad_norm=0.0, double label_smoothing=0.0,
              uint64_t dropout_seed=0, poll=None):
        """Train over the rows named by order, in mini-batches."""
        cdef fbp_data data
        cdef fbp_step step
        cdef fbp_progress progress = [0.0, 0, 0]
        cdef fbp_status status
        cdef const int64_t *rows = NULL
        X = _held(X)
        self._borrow_data(&data, X, y, sample_weight)
        cdef int64_t n_order = data.x.n_rows
        if order is not None:
            n_order = len(order)
            rows = <const int64_t *>_borrow(order, np.int64, (n_order,), "order")
        if _NAMES["solvers"][self.solver] == "gradient":
            raise ValueError("A net with solver 'gradient' does not train.")
        if not 1 <= batch_rows <= self.max_rows:
            raise ValueError(f"batch_rows must be 1 to max_rows={self.max_rows}, got {batch_rows}.")
        if max_grad_norm > 0 and not self.clips:
            raise ValueError("max_grad_norm needs a net made with clips=True.")
        memset(&step, 0, sizeof(fbp_step))
        if learning_rates is not None:
            n_batches = -(-n_order // batch_rows)
            step.learning_rates = <const double *>_borrow(learning_rates, np.float64,
                                                          (n_batches,), "learning_rates")
        cdef _Poll asked = _Poll(poll)
        asked.net, asked.progress = self, &progress
        step.alpha, step.learning_rate, step.momentum = alpha, learning_rate, momentum
        step.beta_1, step.beta_2, step.epsilon = beta_1, beta_2, epsilon
        step.weight_decay, step.max_grad_norm = weight_decay, max_grad_norm
        step.label_smoothing = _label_smoothing(label_smoothing, self.loss, self.dtype)
        step.dropout_seed = dropout_seed
        step.poll, step.poll_context = _ask, <void *>asked
        self._begin()
        try:
            with nogil:
                status = fbp_train(self.net, &data, rows, n_order, batch_rows, &step, &progress)
        finally:
            self._end()
        self.progress = _as_tuple(&progress)
        _finish(status, asked, "X, y, sample_weight or order")
        return self.progress

    def loss_gradient(self, parameters, X, y, *, sample_weight=None, double alpha=0.0,
                      double label_smoothing=0.0, delta=None, poll=None):
        """Set the weights from one flat vector; return the loss there and its flat gradient.

        ``delta``, if given, is filled with Σ weights · dL/dz of the first layer.
        """
        cdef fbp_data data
        cdef fbp_step step
        cdef fbp_status status
        cdef double loss = 0.0
        if _NAMES["solvers"][self.solver] != "gradient":
            raise ValueError("loss_gradient needs a net with solver 'gradient'.")
        shapes = self._shapes()
        units = np.array(self.units)
        sizes = np.concatenate((units[:-1] * units[1:], units[1:]))
        size = int(sizes.sum())
        _borrow(parameters, self.dtype, (size,), "parameters")
        parts = np.split(parameters, np.cumsum(sizes)[:-1])
        for i, shape in enumerate(shapes):
            parts[i] = parts[i].reshape(shape)
        self.set_weights(parts[:len(shapes)], parts[len(shapes):])
        X = _held(X)
        self._borrow_data(&data, X, y, sample_weight)
        if not 1 <= data.x.n_rows <= self.max_rows:
            raise ValueError(
                f"X must have 1 to max_rows={self.max_rows} rows, got {data.x.n_rows}."
            )
        cdef void *first = NULL
        if delta is not None:
            first = <void *>_borrow(delta, self.dtype, (data.x.n_rows, self.units[1]), "delta")
            if not delta.flags.writeable:
                raise ValueError("delta must be writeable.")
        gradient = np.empty(size, self.dtype)
        cdef void *grad = cnp.PyArray_DATA(<cnp.ndarray>gradient)
        asked = _Poll(poll)
        memset(&step, 0, sizeof(fbp_step))
        step.alpha = alpha
        step.label_smoothing = _label_smoothing(label_smoothing, self.loss, self.dtype)
        step.poll, step.poll_context = _ask, <void *>asked
        self._begin()
        try:
            with nogil:
                status = fbp_loss_gradient(self.net, &data, &step, &loss, grad, first)
        finally:
            self._end()
        _finish(status, asked, "X, y or sample_weight")
        if status == FBP_ESTOPPED:
            raise InterruptedError("The gradient was stopped by poll.")
        return loss, gradient

    def predict(self, X, *, order=None, bint raw=False, bint hidden=False, dtype=None, poll=None):
        """Return predictions [n × n_out] after the loss's link, or z before it (raw).

        They are for the rows named by order, or all. With ``hidden`` they are the activations of
        the last hidden layer instead.
        """
        if hidden and len(self.units) < 3:
            raise ValueError("The net has no hidden layers.")
        cdef fbp_status status
        X = _held(X)
        cdef fbp_matrix x = _matrix(X, self.units[0], self.sparse)
        out_dtype = self.dtype if dtype is None else np.dtype(dtype)
        cdef int32_t real = _real(out_dtype.name)
        cdef const int64_t *rows = NULL
        cdef int64_t n_rows = x.n_rows
        if order is not None:
            n_rows = len(order)
            rows = <const int64_t *>_borrow(order, np.int64, (n_rows,), "order")
        out = np.empty((n_rows, self.units[-2 if hidden else -1]), out_dtype)
        cdef void *data = cnp.PyArray_DATA(<cnp.ndarray>out)
        cdef int flags = FBP_PREDICT_RAW if raw else 0
        if hidden:
            flags |= FBP_PREDICT_HIDDEN
        asked = _Poll(poll)
        self._begin()
        try:
            with nogil:
                status = fbp_predict_order(self.net, &x, rows, n_rows, flags, _ask,
                                           <void *>asked, real, data)
        finally:
            self._end()
        _finish(status, asked, "X or order")
        if status == FBP_ESTOPPED:
            raise InterruptedError("The prediction was stopped by poll.")
        return out

    def row_losses(self, X, y, *, order=None, poll=None):
        """Return the loss [n] of each row named by order, or of all, not weighted, no penalty."""
        cdef fbp_data data
        cdef fbp_status status
        cdef const int64_t *rows = NULL
        if self.max_rows < 1:
            raise ValueError("The net was made to predict only (max_rows=0).")
        X = _held(X)
        self._borrow_data(&data, X, y, None)
        cdef int64_t n_rows = data.x.n_rows
        if order is not None:
            n_rows = len(order)
            rows = <const int64_t *>_borrow(order, np.int64, (n_rows,), "order")
        losses = np.empty(n_rows, np.float64)
        cdef double *out = <double *>cnp.PyArray_DATA(<cnp.ndarray>losses)
        asked = _Poll(poll)
        self._begin()
        try:
            with nogil:
                status = fbp_predict_loss(self.net, &data, rows, n_rows, _ask, <void *>asked, out)
        finally:
            self._end()
        _finish(status, asked, "X, y or order")
        if status == FBP_ESTOPPED:
            raise InterruptedError("The losses were stopped by poll.")
        return losses


include "_predict.pxi"
