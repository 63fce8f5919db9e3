/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Losses: z of the output layer → delta = dL/dz · weight in place, and each row's loss, in float64.
 *
 * Every pair of link and loss here is canonical, so that delta = prediction − target. A loss is two
 * small functions: its link, and <name>_terms, which gives prediction − target and the loss of one
 * vector of outputs. Softmax couples a row's outputs and has its own file.
 *
 * Probabilities are clipped to [ε, 1 − ε], ε = 2⁻⁵², for the loss only, as scikit-learn does for
 * float64. Sums over a row's outputs run in increasing order, in double.
 */

#define LOSS_EPSILON ((real)2.220446049250313e-16)

typedef vf link_op(vf z);
typedef vf terms_op(vf z, vf y, vf *delta);

/* Up to VF_LANES reals; a tail goes through a buffer, so that nothing beyond it is touched. */
static inline vf load_tail(const real *p, int64_t n)
{
    real t[VF_LANES] = {0};
    if (n >= VF_LANES) return vf_load(p);
    for (int64_t i = 0; i < n; i++)
        t[i % VF_LANES] = p[i];
    return vf_load(t);
}

static inline void store_tail(real *p, vf a, int64_t n)
{
    real t[VF_LANES];
    if (n >= VF_LANES) {
        vf_store(p, a);
        return;
    }
    vf_store(t, a);
    for (int64_t i = 0; i < n; i++)
        p[i] = t[i % VF_LANES];
}

/* log of p clipped to [ε, 1 − ε] (in float32, [ε, 1]). */
static inline vf log_clipped(vf p)
{
    const vf low = vf_set1(LOSS_EPSILON), one = vf_set1(1);
    const vf above = vf_max(low, p);
    const vf high = vf_sub(one, low);
    return vf_log(vf_select(vf_lt(high, above), high, above));
}

static ALWAYS_INLINE vf identity_link(vf z) { return z; }

static ALWAYS_INLINE vf logistic_link(vf z) { return vf_logistic(z); }

static ALWAYS_INLINE vf exp_link(vf z) { return vf_exp(z); }

/* ½ (y − o)² */
static ALWAYS_INLINE vf squared_error_terms(vf z, vf y, vf *delta)
{
    *delta = vf_sub(z, y);
    return vf_mul(vf_mul(*delta, *delta), vf_set1((real)0.5));
}

/* −y·ln p − (1 − y)·ln(1 − p). In float32, 1 − p is computed as logistic(−z): p rounds to 1 from
 * z = 17 on, where a wrong and confident row would have an infinite loss. */
static ALWAYS_INLINE vf binary_log_loss_terms(vf z, vf y, vf *delta)
{
    const vf zero = vf_set1(0), one = vf_set1(1), p = vf_logistic(z);
#if REAL_BITS == 32
    const vf log_q = log_clipped(vf_logistic(vf_sub(zero, z)));
#else
    const vf low = vf_set1(LOSS_EPSILON), high = vf_sub(one, low), above = vf_max(low, p);
    const vf log_q = vf_log(vf_sub(one, vf_select(vf_lt(high, above), high, above)));
#endif
    *delta = vf_sub(p, y);
    const vf likelihood = vf_fma(y, log_clipped(p), vf_mul(vf_sub(one, y), log_q));
    return vf_sub(zero, likelihood);
}

/* y·ln(y / o) − y + o, the first term 0 where y = 0 */
static ALWAYS_INLINE vf poisson_terms(vf z, vf y, vf *delta)
{
    const vf zero = vf_set1(0), o = vf_exp(z);
    *delta = vf_sub(o, y);
    const vf ratio = vf_mul(y, vf_log(vf_div(y, o)));
    return vf_add(vf_select(vf_eq(y, zero), zero, ratio), *delta);
}

/* One output: z is a vector over rows. */
static ALWAYS_INLINE void column_loss(int64_t rows, real *z, const real *y, const real *weights,
                                      double *row_loss, terms_op *terms)
{
    for (int64_t row = 0; row < rows; row += VF_LANES) {
        const int64_t n = fbp_min(VF_LANES, rows - row);
        vf delta;
        vf loss = terms(load_tail(z + row, n), load_tail(y + row, n), &delta);
        if (weights) {
            const vf weight = load_tail(weights + row, n);
            delta = vf_mul(delta, weight);
            loss = vf_mul(loss, weight);
        }
        store_tail(z + row, delta, n);
        real values[VF_LANES];
        vf_store(values, loss);
        for (int64_t r = 0; r < n; r++)
            row_loss[row + r] = values[r];
    }
}

/* Several outputs: each row's terms added in order, the padding's delta set to zero. */
static ALWAYS_INLINE void panel_loss(int64_t rows, int64_t n, real *z, int64_t stride,
                                     const real *y, const real *weights, double *row_loss,
                                     terms_op *terms)
{
    const int64_t y_step = fbp_round_up(n, VF_LANES);
    for (int64_t row = 0; row < rows; row++) {
        const real weight = weights ? weights[row] : 1;
        double sum = 0;
        for (int64_t c = 0; c < n; c += VF_LANES) {
            real *zc = z + (c / NR) * stride + row * NR + c % NR;
            const int64_t columns = fbp_min(VF_LANES, n - c);
            vf delta;
            real values[VF_LANES];
            vf_store(values, terms(vf_load(zc), vf_load(y + row * y_step + c), &delta));
            vf_store(zc, vf_mul(delta, vf_set1(weight)));
            for (int64_t j = 0; j < columns; j++)
                sum += values[j];
            for (int64_t j = columns; j < VF_LANES; j++)
                zc[j] = 0;
        }
        row_loss[row] = sum * weight;
    }
}

static ALWAYS_INLINE void apply_link(int64_t rows, int64_t n, real *z, int64_t stride,
                                     link_op *link)
{
    if (n == 1) {
        for (int64_t row = 0; row < rows; row += VF_LANES)
            store_tail(z + row, link(load_tail(z + row, rows - row)), rows - row);
        return;
    }
    for (int64_t c = 0; c < n; c += VF_LANES)
        for (int64_t row = 0; row < rows; row++) {
            real *zc = z + (c / NR) * stride + row * NR + c % NR;
            vf_store(zc, link(vf_load(zc)));
        }
}
