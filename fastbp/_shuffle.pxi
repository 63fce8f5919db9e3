# SPDX-License-Identifier: BSD-3-Clause
# Orders of rows, as NumPy's legacy generator shuffles them: csrc/shuffle.c.

from cpython.pycapsule cimport PyCapsule_GetPointer

cdef extern from "numpy/random/bitgen.h":
    # NumPy's documented interface to its generators for C code; the capsule's name is part of it.
    ctypedef struct bitgen_t:
        void *state
        fbp_random_fn next_uint32

cdef int64_t _SHUFFLED_AT_ONCE = 1 << 19  # rows: some milliseconds between looks at signals


def shuffle(order, random_state):
    """Shuffle an order as ``random_state.shuffle(order)`` does."""
    if type(random_state) is not np.random.RandomState or len(order) >= 1 << 32:
        random_state.shuffle(order)  # another class may shuffle otherwise, and 32 bits hold no more
        return
    cdef int64_t last = len(order) - 1, first
    cdef int64_t *places = <int64_t *>_borrow(order, np.int64, (last + 1,), "order")
    generator = random_state._bit_generator
    cdef bitgen_t *bits = <bitgen_t *>PyCapsule_GetPointer(generator.capsule, "BitGenerator")
    with generator.lock:
        while last > 0:
            first = max(0, last - _SHUFFLED_AT_ONCE)
            with nogil:
                fbp_shuffle(<uint32_t>first, <uint32_t>last, bits.next_uint32, bits.state, places)
            last = first
            PyErr_CheckSignals()
