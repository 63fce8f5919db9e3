/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The form of the rows phase: each thread carries its own rows through all layers, or all threads
 * share each layer's product over a grid of row tiles × column panels, with a barrier per layer. The
 * second is for few rows on many threads. The choice is computed, and changes no bit.
 */
#ifndef FBP_FORM_H
#define FBP_FORM_H

#include "internal.h"

/* Into how many parts a product's rows and columns are cut. */
fbp_grid fbp_grid_choose(int64_t n_tiles, int64_t n_panels, int n_threads);

/* Nanoseconds of one thread's arithmetic for a step over `rows` rows, roughly. */
double fbp_step_nanoseconds(const fbp_net *net, int64_t rows);

/* The most threads that can share a step over `rows` rows. */
int64_t fbp_most_threads(const fbp_net *net, int64_t rows);

/* Rows of a batch to hold at once: so few, if it takes long, that a thread's share of the weights phase
 * is over soon. That of a batch's last chunk cannot be broken off. */
int64_t fbp_chunk_rows(const fbp_net *net, const fbp_spec *spec);

/* Multiply-adds of one thread between two questions whether to stop, at least. */
double fbp_work_at_once(const fbp_net *net);

/* Whether a thread's share of the weights phase over `rows` rows is long enough to ask before it. */
int fbp_update_is_long(const fbp_net *net, int64_t rows);

/* Nanoseconds of one thread's weights phase per row, as reckoned. */
double fbp_update_nanoseconds(const fbp_net *net, const fbp_spec *spec);

/* How many of a batch's last `rows` rows go before the update, on n_threads, in a chunk that only stores
 * the gradient and can be broken off: 0 unless the update would take too long now. */
int64_t fbp_rows_before_update(const fbp_net *net, int64_t rows, int n_threads);

/* Whether updates may have to be cut so: those that are long enough to ask before. */
int fbp_may_cut_updates(const fbp_net *net);

/* How many times longer than reckoned an update over `rows` rows took; and learn from it. */
double fbp_update_slowness(const fbp_net *net, int64_t rows, int n_threads, int64_t nanoseconds);
void fbp_update_learn(fbp_net *net, double slowness);

/* Choose the form and the grids for batches of `rows` rows on n_threads. */
void fbp_plan_form(fbp_net *net, int64_t rows, int n_threads);

#endif
