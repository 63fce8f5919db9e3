# SPDX-License-Identifier: BSD-3-Clause
# Borrow NumPy arrays and CSR matrices, as they are, as what csrc/fbp.h takes.


_CSR = namedtuple("_CSR", "format shape dtype data indices indptr")


cdef object _held(X):
    """X as it is now: a matrix's arrays may be replaced meanwhile, which then live on."""
    if isinstance(X, np.ndarray) or getattr(X, "format", None) != "csr":
        return X
    return _CSR("csr", X.shape, X.dtype, X.data, X.indices, X.indptr)


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
