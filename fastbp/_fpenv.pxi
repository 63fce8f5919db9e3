# SPDX-License-Identifier: BSD-3-Clause
# The floating-point environment around a call of the estimators; the core has its own inside.

cdef extern from "<fenv.h>" nogil:
    ctypedef struct fenv_t:
        pass
    const fenv_t *FE_DFL_ENV
    int fegetenv(fenv_t *environment)
    int fesetenv(const fenv_t *environment)


cdef class DefaultFpenv:
    """Holds the thread to the floating-point environment that a program starts with."""

    cdef fenv_t callers

    def __enter__(self):
        fegetenv(&self.callers)
        fesetenv(FE_DFL_ENV)

    def __exit__(self, *error):
        fesetenv(&self.callers)
