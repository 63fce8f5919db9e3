/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The caller's samples: checked before a call believes them, gathered block by block while it runs.
 */
#include "data.h"

#include <math.h>

#include "isa/fpenv.h"

#define BEYOND_FLOAT 0x1.fffffe0000001p127 /* the double next to the largest float */

static int csr_is_valid(const fbp_matrix *x)
{
    if ((x->index_bits != 32 && x->index_bits != 64) || !x->indices) return 0;
    const int32_t *p32 = x->indptr, *i32 = x->indices;
    const int64_t *p64 = x->indptr, *i64 = x->indices;
    const int narrow = x->index_bits == 32;
    if ((narrow ? p32[0] : p64[0]) != 0) return 0;
    for (int64_t r = 0; r < x->n_rows; r++)
        if (narrow ? p32[r] > p32[r + 1] : p64[r] > p64[r + 1]) return 0;
    const int64_t n_values = narrow ? p32[x->n_rows] : p64[x->n_rows];
    int bad = 0;
    for (int64_t i = 0; i < n_values; i++) {
        const int64_t column = narrow ? i32[i] : i64[i];
        bad |= column < 0 || column >= x->n_cols;
    }
    return !bad && (n_values == 0 || x->data);
}

int fbp_matrix_is_valid(const fbp_matrix *x, int64_t n_cols)
{
    if (!x || x->n_rows < 0 || x->n_cols != n_cols || (x->real != FBP_F32 && x->real != FBP_F64))
        return 0;
    if (x->indptr) return csr_is_valid(x);
    return x->ld >= x->n_cols && (x->data || x->n_rows == 0);
}

int fbp_rows_are_within(const fbp_matrix *x, int isa, int real, int64_t first, int64_t rows)
{
    const int narrowed = x->real == FBP_F64 && real == FBP_F32;
    const double bound = narrowed ? BEYOND_FLOAT : INFINITY;
    const size_t bytes = fbp_real_bytes(x->real);
    const fbp_kernels *k = fbp_kernels_find(isa, x->real);
    const char *row = (const char *)x->data + (size_t)(first * x->ld) * bytes;
    if (x->ld == x->n_cols) return k->within(rows * x->n_cols, row, bound);
    int within = 1;
    for (int64_t r = 0; r < rows; r++, row += (size_t)x->ld * bytes)
        within &= k->within(x->n_cols, row, bound);
    return within;
}

int fbp_order_is_valid(const int64_t *order, int64_t n_order, int64_t n_rows)
{
    if (n_order < 0 || (!order && n_order > n_rows)) return 0;
    int bad = 0;
    for (int64_t i = 0; order && i < n_order; i++)
        bad |= order[i] < 0 || order[i] >= n_rows;
    return !bad;
}

static int weights_are_valid(const fbp_net *net, const void *weights, int64_t n_rows)
{
    const uint64_t fpenv = fbp_fpenv_enter(); /* a comparison may leave a flag */
    int bad = 0;
    if (net->real == FBP_F32)
        for (int64_t i = 0; i < n_rows; i++)
            bad |= !(((const float *)weights)[i] >= 0 && ((const float *)weights)[i] < INFINITY);
    else
        for (int64_t i = 0; i < n_rows; i++)
            bad |= !(((const double *)weights)[i] >= 0 && ((const double *)weights)[i] < INFINITY);
    fbp_fpenv_leave(fpenv);
    return !bad;
}

int fbp_data_is_valid(const fbp_net *net, const fbp_data *data)
{
    if (!data || (net->sparse.used && !data->x.indptr)) return 0;
    if (!fbp_matrix_is_valid(&data->x, net->n_in) || (!data->y && data->x.n_rows > 0)) return 0;
    if (data->weights && !weights_are_valid(net, data->weights, data->x.n_rows)) return 0;
    int bad = 0;
    if (fbp_loss_takes_codes(net->loss))
        for (int64_t i = 0; i < data->x.n_rows; i++) {
            const int32_t code = ((const int32_t *)data->y)[i];
            bad |= code < 0 || code >= net->n_out;
        }
    return !bad;
}

void fbp_gather_x(const fbp_net *net, const fbp_matrix *x, const int64_t *order, int64_t first,
                  int64_t rows, void *out, int64_t stride)
{
    const fbp_kernels *k = net->kernels;
    const int64_t *own = order ? order + first : NULL;
    (x->indptr ? k->gather_csr : k->gather_dense)[x->real](x, own, first, rows, out, stride);
}

/* Items of `bytes` bytes, from the rows that order names, to `step` bytes apart. */
static void gather_items(const void *items, size_t bytes, const int64_t *order, int64_t first,
                         int64_t rows, void *out_, size_t step)
{
    char *out = out_;
    for (int64_t r = 0; r < rows; r++, out += step) {
        const int64_t row = order ? order[first + r] : first + r;
        const char *item = (const char *)items + (size_t)row * bytes;
        if (bytes == 4) /* the common case, without a call */
            memcpy(out, item, 4);
        else
            memcpy(out, item, bytes);
    }
}

void fbp_gather_y(const fbp_net *net, const fbp_data *data, const int64_t *order, int64_t first,
                  int64_t rows, fbp_scratch *scratch)
{
    const int codes = fbp_loss_takes_codes(net->loss);
    const size_t bytes = codes ? sizeof(int32_t) : (size_t)net->n_out * net->real_bytes;
    const size_t step = codes ? sizeof(int32_t) : (size_t)net->y_step * net->real_bytes;
    gather_items(data->y, bytes, order, first, rows, scratch->y, step);
    if (data->weights)
        gather_items(data->weights, net->real_bytes, order, first, rows, scratch->weights,
                     net->real_bytes);
}

double fbp_sum_weights(const fbp_net *net, const void *weights, const int64_t *order, int64_t first,
                       int64_t rows)
{
    if (!weights) return (double)rows;
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t row = order ? order[first + r] : first + r;
        sum += net->real == FBP_F32 ? (double)((const float *)weights)[row]
                                    : ((const double *)weights)[row];
    }
    return sum;
}
