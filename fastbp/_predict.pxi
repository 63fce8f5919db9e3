# SPDX-License-Identifier: BSD-3-Clause
# Calls without a Net, for arrays that are plain: a table's check before a fit, predictions.

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

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

_NEVER_ASKED = _Poll(None)


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


def are_within(X, dtype, int n_threads):
    """Tell whether X is just an array of floats, with contiguous rows, that a type can hold."""
    cdef fbp_matrix x
    cdef int32_t real = _real(dtype)
    cdef int32_t isa
    cdef fbp_status status
    if not _plain_x(&x, X):
        return False
    isa = _default_isa_id(_PRECISION_IDS["highest"], real)
    asked = _Poll(None)
    with nogil:
        status = fbp_check_rows(&x, real, isa, n_threads, _ask, <void *>asked)
    _finish(status if status != FBP_ENONFINITE else FBP_OK, asked, "X")
    return status == FBP_OK


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


cdef bint _describe(_Plain *p, X, tuple coefs, tuple intercepts, n_in, n_out, activations,
                    loss, precision) except -1:
    """Describe a call to the core, if all is such that nothing needs to be converted or said."""
    cdef int i, n_layers = len(coefs)
    cdef int type_number
    if not _plain_x(&p.x, X) or not 1 <= n_layers <= MOST_LAYERS or len(intercepts) != n_layers:
        return False
    if type(n_in) is not int or type(n_out) is not int or p.x.n_cols != n_in:
        return False
    if type(activations) is not tuple or len(<tuple>activations) != n_layers - 1:
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
        p.activations[i] = _ACTIVATION_IDS[(<tuple>activations)[i]]
    p.model.coefs, p.model.intercepts = p.coefs, p.intercepts
    spec = &p.model.spec
    memset(spec, 0, sizeof(fbp_spec))
    spec.n_layers = n_layers
    spec.units, spec.activations = p.units, p.activations
    spec.loss, spec.solver = _LOSS_IDS[loss], 0
    spec.real = FBP_F32 if type_number == cnp.NPY_FLOAT else FBP_F64
    if type(precision) is not str or precision not in _PRECISION_IDS:
        return False
    spec.precision = _PRECISION_IDS[precision]
    spec.isa = _default_isa_id(spec.precision, spec.real)
    spec.n_threads = 1
    spec.predict_rows = p.x.n_rows
    return True


def predict_plain(X, coefs, intercepts, n_in, n_out, activations, loss, precision, bint raw,
                  bint as_computed, thread_limit):
    """Predict from a model's own arrays; None where something asks for a closer look."""
    cdef _Plain p
    if type(coefs) is not list or type(intercepts) is not list:
        return None
    # Tuples of our own keep the arrays alive, whatever becomes of the lists meanwhile.
    held = tuple(coefs), tuple(intercepts)
    if not _describe(&p, X, held[0], held[1], n_in, n_out, activations, loss,
                     precision):
        return None
    cdef bint widest = as_computed and p.model.spec.real == FBP_F64
    cdef int32_t real = FBP_F64 if widest else p.x.real
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
