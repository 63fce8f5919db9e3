/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sparse X: the memory of its rows and the first layer's steps over them. The net is made for it
 * (fbp_spec), so that no dense row of X is ever stored: net->sparse.used.
 */
#ifndef FBP_SPARSE_H
#define FBP_SPARSE_H

#include "arena.h"
#include "internal.h"

/* Take the chunk's arrays, and one thread's. */
void fbp_sparse_carve(fbp_net *net, fbp_arena *arena);
void fbp_sparse_carve_scratch(const fbp_net *net, fbp_scratch *scratch, fbp_arena *arena);

/* Whether no chunk of any batch holds more than was planned; and no row of x, for prediction. */
int fbp_sparse_fits(const fbp_net *net, const fbp_matrix *x, const int64_t *order, int64_t n_order,
                    int64_t batch_rows);
int fbp_sparse_rows_fit(const fbp_net *net, const fbp_matrix *x);

/* Multiply-adds in a row and one of the layer's outputs: fan_in, or what a full batch stores. */
int64_t fbp_sparse_fan_in(const fbp_net *net, const fbp_layer *layer);

/* Values that x stores per row, on average; 0 without rows. */
double fbp_sparse_mean_row(const fbp_matrix *x);

/* Rows row … row + n − 1 of the chunk of `rows` rows that begins at `first`, into their places. */
void fbp_sparse_gather(fbp_net *net, const fbp_matrix *x, const int64_t *order, int64_t first,
                       int64_t rows, int64_t row, int64_t n, const fbp_scratch *scratch);
/* The first layer's outputs, of the cell. */
void fbp_sparse_forward_cell(fbp_net *net, fbp_cell cell);
/* This thread's share of the chunk's strips, from its rows. */
void fbp_sparse_cut(fbp_net *net, int64_t rows, int thread, int n_threads);

/* Prediction: as many of n rows of x, in an order or as they are, as the scratch holds, at least one;
 * how many. */
int64_t fbp_sparse_gather_block(const fbp_net *net, const fbp_matrix *x, const int64_t *order,
                                int64_t row, int64_t n, const fbp_scratch *scratch);
/* The first layer, for those rows, into the second of the thread's buffers. */
void fbp_sparse_forward_scratch(const fbp_net *net, const fbp_scratch *scratch, int64_t rows);

#endif
