/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Softmax and its log loss over panels, n classes: p = eᶻ / Σ eᶻ, −ln p of the row's class.
 *
 * A row's maximum and sum take its classes in increasing order. With few classes, 16 rows at a time
 * are transposed, so that a vector holds one class of many rows: 10 classes then cost a fifth of an
 * exponential a row instead of a whole one, and no scalar loop. The values and their order, and so the
 * bits, are those of the row-wise form, which the last rows and many classes take.
 */

#define SOFTMAX_ROWS FBP_COLUMN_LANES
#define SOFTMAX_CLASSES 32 /* at most, in the transposed form: 2 to 4 KiB */

typedef real softmax_tile[SOFTMAX_CLASSES][SOFTMAX_ROWS];

static inline real *class_of_row(real *z, int64_t stride, int64_t row, int64_t c)
{
    return z + (c / NR) * stride + row * NR + c % NR;
}

/* 16 rows, from panels or back to them, in blocks of 4 × 4: up to three classes more than n. */
static inline void softmax_transpose(int64_t n, real *z, int64_t stride, softmax_tile t, int back)
{
    for (int64_t c = 0; c < n; c += 4)
        for (int64_t r = 0; r < SOFTMAX_ROWS; r += 4) {
            real *zr = class_of_row(z, stride, r, c);
            if (back)
                tile_transpose_4x4(&t[c][r], SOFTMAX_ROWS, zr, NR);
            else
                tile_transpose_4x4(zr, NR, &t[c][r], SOFTMAX_ROWS);
        }
}

static inline void softmax_columns(int64_t n, softmax_tile t)
{
    for (int64_t r = 0; r < SOFTMAX_ROWS; r += VF_LANES) {
        vf max = vf_load(&t[0][r]), sum = vf_set1(0);
        for (int64_t c = 1; c < n; c++)
            max = vf_max(max, vf_load(&t[c][r]));
        for (int64_t c = 0; c < n; c++) {
            const vf e = vf_exp(vf_sub(vf_load(&t[c][r]), max));
            vf_store(&t[c][r], e);
            sum = vf_add(sum, e);
        }
        for (int64_t c = 0; c < n; c++)
            vf_store(&t[c][r], vf_div(vf_load(&t[c][r]), sum));
    }
}

/* One row, in place. */
static inline void softmax_row(int64_t n, real *z, int64_t stride)
{
    real max = z[0], sum = 0;
    for (int64_t c = 1; c < n; c++) {
        const real value = *class_of_row(z, stride, 0, c);
        max = max > value ? max : value;
    }
    for (int64_t c = 0; c < n; c += VF_LANES) {
        real *zc = class_of_row(z, stride, 0, c);
        vf_store(zc, vf_exp(vf_sub(vf_load(zc), vf_set1(max))));
    }
    for (int64_t c = 0; c < n; c++)
        sum += *class_of_row(z, stride, 0, c);
    for (int64_t c = 0; c < n; c += VF_LANES) {
        real *zc = class_of_row(z, stride, 0, c);
        vf_store(zc, vf_div(vf_load(zc), vf_set1(sum)));
    }
}

static void KERNEL(link_softmax)(int64_t rows, int64_t n, void *z_, int64_t stride)
{
    real *z = z_;
    int64_t row = 0;
    softmax_tile t = {{0}};
    for (; n <= SOFTMAX_CLASSES && row + SOFTMAX_ROWS <= rows; row += SOFTMAX_ROWS) {
        softmax_transpose(n, z + row * NR, stride, t, 0);
        softmax_columns(n, t);
        softmax_transpose(n, z + row * NR, stride, t, 1);
    }
    for (; row < rows; row++)
        softmax_row(n, z + row * NR, stride);
}

/* Delta's padding of one row, classes n … up to whole vectors, must be zero. */
static inline void clear_padding(int64_t n, real *z, int64_t stride)
{
    for (int64_t c = n; c % VF_LANES; c++)
        *class_of_row(z, stride, 0, c) = 0;
}

/* p of each row's class; delta = (p − 1 at that class) · weight. 16 rows. */
static inline void softmax_delta(int64_t n, real *z, int64_t stride, const int32_t *codes,
                                 const real *weights, real own[SOFTMAX_ROWS])
{
    softmax_tile t = {{0}};
    softmax_transpose(n, z, stride, t, 0);
    softmax_columns(n, t);
    for (int64_t r = 0; r < SOFTMAX_ROWS; r++) {
        own[r] = t[codes[r]][r];
        t[codes[r]][r] -= 1;
    }
    for (int64_t c = 0; weights && c < n; c++)
        for (int64_t r = 0; r < SOFTMAX_ROWS; r += VF_LANES)
            vf_store(&t[c][r], vf_mul(vf_load(&t[c][r]), vf_load(weights + r)));
    softmax_transpose(n, z, stride, t, 1);
    for (int64_t r = 0; r < SOFTMAX_ROWS && n % VF_LANES; r++)
        clear_padding(n, z + r * NR, stride);
}

/* The same for one row. */
static inline real softmax_delta_row(int64_t n, real *z, int64_t stride, int32_t code,
                                     const real *weight)
{
    softmax_row(n, z, stride);
    real *at = class_of_row(z, stride, 0, code);
    const real own = *at;
    *at -= 1;
    clear_padding(n, z, stride);
    for (int64_t c = 0; weight && c < n; c++)
        *class_of_row(z, stride, 0, c) *= *weight;
    return own;
}

/* A row's p → delta with smoothed labels, t = s/n for every class and 1 − s more for its own; returns
 * −Σ t·ln p. */
static inline double smoothed_row(int64_t n, real *z, int64_t stride, int32_t code, real smoothing,
                                  const real *weight)
{
    const real share = smoothing / (real)n, rest = 1 - smoothing;
    double sum = 0;
    real own = 0;
    for (int64_t c = 0; c < n; c += VF_LANES) {
        real *zc = class_of_row(z, stride, 0, c), logs[VF_LANES];
        const vf p = vf_load(zc);
        vf_store(logs, log_clipped(p));
        vf_store(zc, vf_sub(p, vf_set1(share)));
        for (int64_t j = 0; j < fbp_min(VF_LANES, n - c); j++) {
            sum += logs[j];
            if (c + j == code) own = logs[j];
        }
    }
    *class_of_row(z, stride, 0, code) -= rest;
    clear_padding(n, z, stride);
    for (int64_t c = 0; weight && c < n; c++)
        *class_of_row(z, stride, 0, c) *= *weight;
    return -((double)rest * own + (double)share * sum);
}

static void smoothed_log_loss(int64_t rows, int64_t n, real *z, int64_t stride,
                              const fbp_targets *targets, double *row_loss)
{
    const real *weights = targets->weights, smoothing = (real)targets->label_smoothing;
    const int32_t *codes = targets->y;
    KERNEL(link_softmax)(rows, n, z, stride);
    for (int64_t row = 0; row < rows; row++) {
        const real *weight = weights ? weights + row : NULL;
        const double loss = smoothed_row(n, z + row * NR, stride, codes[row], smoothing, weight);
        row_loss[row] = loss * (weight ? (double)*weight : 1.0);
    }
}

static void KERNEL(loss_log_loss)(int64_t rows, int64_t n, void *z_, int64_t stride,
                                  const fbp_targets *targets, double *row_loss)
{
    real *z = z_, own[SOFTMAX_ROWS];
    const real *weights = targets->weights;
    const int32_t *codes = targets->y;
    if (targets->label_smoothing > 0) {
        smoothed_log_loss(rows, n, z, stride, targets, row_loss);
        return;
    }
    for (int64_t row = 0; row < rows; row += SOFTMAX_ROWS) {
        const int64_t count = fbp_min(SOFTMAX_ROWS, rows - row);
        const real *w = weights ? weights + row : NULL;
        if (n <= SOFTMAX_CLASSES && count == SOFTMAX_ROWS)
            softmax_delta(n, z + row * NR, stride, codes + row, w, own);
        else
            for (int64_t r = 0; r < count; r++)
                own[r] = softmax_delta_row(n, z + (row + r) * NR, stride, codes[row + r],
                                           w ? w + r : NULL);
        for (int64_t r = 0; r < count; r += VF_LANES)
            store_tail(own + r, log_clipped(load_tail(own + r, count - r)), count - r);
        for (int64_t r = 0; r < count; r++)
            row_loss[row + r] = -(double)own[r] * (w ? (double)w[r] : 1.0);
    }
}
