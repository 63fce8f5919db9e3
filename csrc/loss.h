/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What losses read beside outputs and targets: checked, and kept in the net's type.
 */
#ifndef FBP_LOSS_H
#define FBP_LOSS_H

#include "arena.h"
#include "internal.h"

/* Whether a spec has the parameters that its loss wants, and no others. */
int fbp_loss_parameters_are_valid(const fbp_spec *spec);

/* Whether a step's label smoothing is one, and one that the net's loss knows. */
int fbp_smoothing_is_valid(const fbp_net *net, double smoothing);

/* Take the parameters' memory and fill it. */
void fbp_loss_carve(fbp_net *net, const fbp_spec *spec, fbp_arena *arena);

#endif
