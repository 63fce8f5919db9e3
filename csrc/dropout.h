/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dropout: in training, a hidden layer's outputs are left out at random, each with the layer's rate, and
 * the others grow by 1 / (1 − rate), so that what the next layer gets is the same on average (inverted
 * dropout; Srivastava et al., "Dropout", 2014). Prediction then needs to do nothing.
 *
 * Whether a unit is dropped in a row is a function of seed, step, layer, the row's place in the batch
 * and the unit's in the layer: kernels/dropout_tmpl.c. So it does not depend on threads, blocks of rows,
 * chunks of a batch, or the family. Rates are rounded to whole 65,536ths, at least one; what is kept is
 * scaled by the inverse of the rounded probability.
 *
 * Training stores the slopes of such a layer's outputs, whatever its activation, and one pass multiplies
 * outputs and slopes alike; nothing else knows of it.
 */
#ifndef FBP_DROPOUT_H
#define FBP_DROPOUT_H

#include "internal.h"

/* Whether rates can be such, of a spec that is otherwise valid. */
int fbp_dropout_is_valid(const fbp_spec *spec);

/* Whether layer l, of a net that trains, has dropout; and how. */
int fbp_dropout_drops(const fbp_spec *spec, int l);
fbp_dropout fbp_dropout_of(const fbp_spec *spec, int l);

/* By one thread while no other is in the rows phase: the rows that come next are those of that step's
 * batch from first_row on. */
void fbp_dropout_prepare(fbp_net *net, uint64_t seed, int64_t step, int64_t first_row);

/* Drop outputs of layer l, of the cell, which has just been computed. */
void fbp_dropout_cell(const fbp_net *net, int l, fbp_cell cell);

#endif
