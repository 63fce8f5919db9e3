/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stored gradient, laid out like the weights: its norm, and out to the caller.
 */
#ifndef FBP_GRADIENT_H
#define FBP_GRADIENT_H

#include "internal.h"

/* The squares of one task's part of the stored gradient, with penalty, into its partial sums. */
void fbp_square_gradient(const fbp_net *net, const fbp_task *task, const fbp_update *update);

/* Whether a step asks for it to be clipped; a subnormal norm does not. */
int fbp_wants_clipping(const fbp_step *step);

/* What the stored gradient is to be multiplied by, so that its norm over all parameters is most_norm
 * at most; 1 where it is not finite, so that a training that diverges is seen to. All tasks' squares
 * are there. */
double fbp_clip_factor(const fbp_net *net, double scale, double most_norm);

/* Every layer's gradient, row-major: all dL/dW, then all dL/db. */
void fbp_take_gradient(const fbp_net *net, void *out);

/* The first layer's delta of rows row … row + rows − 1 of the chunk, row-major. */
void fbp_take_delta(const fbp_net *net, int64_t row, int64_t rows, void *out);

#endif
