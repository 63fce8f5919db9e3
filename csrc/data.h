/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The caller's samples: checks, and the gathering of blocks of rows. Row r of a batch that begins at
 * `first` is row order[first + r] of the data, or first + r when order is NULL.
 */
#ifndef FBP_DATA_H
#define FBP_DATA_H

#include "internal.h"

/* Whether x has n_cols columns and, for CSR, indices that stay inside. */
int fbp_matrix_is_valid(const fbp_matrix *x, int64_t n_cols);

/* Whether some rows of dense x hold finite numbers only, and such as a net's type can hold. */
int fbp_rows_are_within(const fbp_matrix *x, int isa, int real, int64_t first, int64_t rows);

/* Whether order names existing rows. */
int fbp_order_is_valid(const int64_t *order, int64_t n_order, int64_t n_rows);

/* Whether x, y and weights are such as the net can train on. */
int fbp_data_is_valid(const fbp_net *net, const fbp_data *data);

/* Rows of x into panels, in the net's type. */
void fbp_gather_x(const fbp_net *net, const fbp_matrix *x, const int64_t *order, int64_t first,
                  int64_t rows, void *out, int64_t stride);

/* Targets and weights of rows into a thread's scratch. */
void fbp_gather_y(const fbp_net *net, const fbp_data *data, const int64_t *order, int64_t first,
                  int64_t rows, fbp_scratch *scratch);

/* Sum of the rows' weights, in order; their number without weights. */
double fbp_sum_weights(const fbp_net *net, const void *weights, const int64_t *order, int64_t first,
                       int64_t rows);

#endif
