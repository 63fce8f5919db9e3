/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sums for the norm of a gradient, over some rows g [rows × columns] of what the weights phase has
 * stored, `width` apart like the weights w:
 *
 *     sums[c] = Σ over rows, increasing, of ((g[r, c] + α·w[r, c]) · scale)²
 *
 * In double, product and sum rounded one by one, which every family does alike.
 */

static void KERNEL(gradient_squares)(int64_t rows, int64_t columns, int64_t width, const void *g_,
                                     const void *w_, const fbp_update *u, double *out)
{
    const real *g = g_, *w = w_;
    double sums[NR] = {0};
    for (int64_t r = 0; r < rows; r++, g += width, w += width)
        for (int64_t c = 0; c < columns; c++) {
            const double value = ((double)g[c] + u->alpha * (double)w[c]) * u->scale;
            sums[c] += value * value;
        }
    memcpy(out, sums, sizeof(double) * (size_t)columns);
}
