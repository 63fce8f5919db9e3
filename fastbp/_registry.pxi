# SPDX-License-Identifier: BSD-3-Clause
# What there is: the registry's names, kernel families, threads, the build.

import os

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


def loss_link(loss):
    """Return the link that turns the last layer's z into a prediction, by scikit-learn's name."""
    return fbp_loss_link(_lookup("losses", loss)).decode()


def solver_moments(solver):
    """Return how many state vectors a solver keeps per parameter."""
    return fbp_solver_n_moments(_lookup("solvers", solver))


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
    return _NAMES["isas"][_default_isa_id(_lookup("precisions", precision), _real(dtype))]


cdef int _default_isa_id(int precision, int real) except -1:
    global _pinned_isa
    if _pinned_isa is None:
        pinned = os.environ.get("FASTBP_ISA")
        _pinned_isa = _check_isa(pinned) if pinned else ""
    if _pinned_isa:
        return _NAMES["isas"].index(_pinned_isa)
    return fbp_isa_best(real, precision)


def _check_isa(isa):
    if isa not in available_isas():
        raise ValueError(
            f"Kernel family {isa!r} (FASTBP_ISA) is not available here; the available ones are: "
            f"{', '.join(available_isas())}."
        )
    return isa


def max_threads():
    """Return the threads OpenMP would use now; 1 in a forked child, whose team did not survive."""
    return fbp_max_threads()


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
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Unknown {kind[:-1]} {name!r}; known are: {', '.join(known)}.")
    return known.index(name)


cdef int _real(dtype) except -1:
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
    return _DTYPES[dtype]
