/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link of a net in float whose predictions are asked for in double.
 */
#ifndef FBP_WIDEN_H
#define FBP_WIDEN_H

#include "internal.h"

/* The kernels whose link a prediction of that type takes instead of the net's own, or NULL. */
const fbp_kernels *fbp_wide_kernels(int isa, int real, int out_real, int flags);

/* z [rows × n], row-major → predictions in place. buffer: free, with room for a row of z in those
 * kernels' panels. */
void fbp_link_wide(const fbp_kernels *wide, int loss, int64_t rows, int64_t n, double *out,
                   void *buffer, size_t bytes);

#endif
