/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is laid out like a layer's parameters, out to the caller's row-major arrays.
 */
#ifndef FBP_PARAMETERS_H
#define FBP_PARAMETERS_H

#include "internal.h"

/* FBP_OK, or FBP_ESTOPPED by the function that fbp_net_ask was given. */
fbp_status fbp_take_parameters(const fbp_net *net, const fbp_layer *layer, const void *w,
                               const void *b, void *coef, void *intercept);

#endif
