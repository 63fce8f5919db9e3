/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What losses read beside outputs and targets: checked, and kept in the net's type.
 */
#include "loss.h"

#include <float.h>

/* Whether a value is of its kind, also once it is a real of the type; subnormal numbers are zeros. */
static int is_valid(int kind, int real, double value)
{
    const double rounded = real == FBP_F32 ? (double)(float)value : value;
    const double least = real == FBP_F32 ? FLT_MIN : DBL_MIN;
    const double most = real == FBP_F32 ? FLT_MAX : DBL_MAX;
    if (kind == FBP_PARAMETER_LEVEL) return rounded >= least && rounded < 1;
    return rounded >= least && rounded <= most;
}

int fbp_loss_parameters_are_valid(const fbp_spec *spec)
{
    const int kind = fbp_loss_parameter(spec->loss);
    const int has_some = kind == FBP_PARAMETER_POSITIVE || kind == FBP_PARAMETER_LEVEL;
    if (!spec->loss_parameters) return !has_some || spec->max_rows == 0;
    int valid = has_some;
    for (int64_t c = 0; valid && c < spec->units[spec->n_layers]; c++)
        valid = is_valid(kind, spec->real, spec->loss_parameters[c]);
    return valid;
}

int fbp_smoothing_is_valid(const fbp_net *net, double smoothing)
{
    if (smoothing == 0) return 1;
    const double rounded = net->real == FBP_F32 ? (double)(float)smoothing : smoothing;
    return fbp_loss_parameter(net->loss) == FBP_PARAMETER_SMOOTHING && smoothing > 0 && rounded < 1;
}

void fbp_loss_carve(fbp_net *net, const fbp_spec *spec, fbp_arena *arena)
{
    if (!spec->loss_parameters) return;
    const int64_t n = fbp_round_up(net->n_out, net->kernels->lanes);
    net->loss_parameters = fbp_arena_take(arena, n, net->real_bytes);
    for (int64_t c = 0; arena->base && c < n; c++) {
        /* Rows of one output lie side by side. */
        const double value = net->n_out == 1  ? spec->loss_parameters[0]
                             : c < net->n_out ? spec->loss_parameters[c]
                                              : 0;
        if (net->real == FBP_F32)
            ((float *)net->loss_parameters)[c] = (float)value;
        else
            ((double *)net->loss_parameters)[c] = value;
    }
}
