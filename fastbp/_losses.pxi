# SPDX-License-Identifier: BSD-3-Clause
# What losses read beside outputs and targets, checked as the net's type has it.


def loss_parameter(loss):
    """Return what a loss reads beside y: None, "smoothing", or per output "positive" or "level"."""
    cdef int kind = fbp_loss_parameter(_lookup("losses", loss))
    return {FBP_PARAMETER_NONE: None, FBP_PARAMETER_SMOOTHING: "smoothing",
            FBP_PARAMETER_POSITIVE: "positive", FBP_PARAMETER_LEVEL: "level"}[kind]


def _loss_parameters(loss, parameters, n_outputs, dtype, bint needed):
    """Return a loss's parameters as float64; None where it has none, or needs none."""
    kind = loss_parameter(loss)
    if kind not in ("positive", "level"):
        if parameters is not None:
            raise ValueError(f"loss {loss!r} has no loss_parameters.")
        return None
    if parameters is None:
        if needed:
            raise ValueError(f"loss {loss!r} needs loss_parameters, one per output.")
        return None
    values = np.array(parameters, dtype=np.float64)
    limits = np.finfo(dtype)
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    within = rounded < 1 if kind == "level" else rounded <= limits.max
    if values.shape != (n_outputs,) or not np.all(within & (rounded >= limits.tiny)):
        raise ValueError(
            f"loss_parameters of {loss!r} must be {n_outputs} numbers "
            f"{'in (0, 1)' if kind == 'level' else '> 0'} as {dtype}, got {parameters}."
        )
    return values


cdef double _label_smoothing(double smoothing, loss, dtype) except -1:
    if not 0 <= smoothing < 1 or dtype.type(smoothing) >= 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {smoothing}.")
    if smoothing > 0 and loss_parameter(loss) != "smoothing":
        raise ValueError(f"label_smoothing is for classes, not for loss {loss!r}.")
    return smoothing
