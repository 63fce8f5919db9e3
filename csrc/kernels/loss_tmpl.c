/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Losses: z of the output layer → delta = dL/dz · weight in place, and each row's loss, in float64.
 *
 * A loss is two small functions: its link, and <name>_terms, which gives dL/dz and the loss of one vector
 * of outputs. Where link and loss are a canonical pair, dL/dz is prediction − target. Softmax couples a
 * row's outputs and has its own file.
 *
 * Probabilities are clipped to [ε, 1 − ε], ε = 2⁻⁵², for the loss only, as scikit-learn does for
 * float64. Sums over a row's outputs run in increasing order, in double.
 */

#define LOSS_EPSILON ((real)2.220446049250313e-16)

typedef vf link_op(vf z);
/* The parameter is what the registry says that the loss reads; 0 if nothing. */
typedef vf terms_op(vf z, vf y, vf parameter, vf *delta);

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
static ALWAYS_INLINE vf squared_error_terms(vf z, vf y, vf none, vf *delta)
{
    (void)none;
    *delta = vf_sub(z, y);
    return vf_mul(vf_mul(*delta, *delta), vf_set1((real)0.5));
}

/* −t·ln p − (1 − t)·ln(1 − p), t = y·(1 − s) + s/2, which is y for s = 0. In float32, 1 − p is computed as logistic(−z): p rounds to 1 from
 * z = 17 on, where a wrong and confident row would have an infinite loss. */
static ALWAYS_INLINE vf binary_log_loss_terms(vf z, vf y, vf smoothing, vf *delta)
{
    const vf zero = vf_set1(0), one = vf_set1(1), p = vf_logistic(z);
    const vf t = vf_fma(y, vf_sub(one, smoothing), vf_mul(smoothing, vf_set1((real)0.5)));
#if REAL_BITS == 32
    const vf log_q = log_clipped(vf_logistic(vf_sub(zero, z)));
#else
    const vf low = vf_set1(LOSS_EPSILON), high = vf_sub(one, low), above = vf_max(low, p);
    const vf log_q = vf_log(vf_sub(one, vf_select(vf_lt(high, above), high, above)));
#endif
    *delta = vf_sub(p, t);
    const vf likelihood = vf_fma(t, log_clipped(p), vf_mul(vf_sub(one, t), log_q));
    return vf_sub(zero, likelihood);
}

/* y·ln(y / o) − y + o, the first term 0 where y = 0 */
static ALWAYS_INLINE vf poisson_terms(vf z, vf y, vf none, vf *delta)
{
    (void)none;
    const vf zero = vf_set1(0), o = vf_exp(z);
    *delta = vf_sub(o, y);
    const vf ratio = vf_mul(y, vf_log(vf_div(y, o)));
    return vf_add(vf_select(vf_eq(y, zero), zero, ratio), *delta);
}

/* z − ln y + y·e⁻ᶻ − 1, with o = eᶻ: ln(o / y) + y/o − 1. Where eᶻ overflows, it still is a number. */
static ALWAYS_INLINE vf gamma_terms(vf z, vf y, vf none, vf *delta)
{
    (void)none;
    const vf one = vf_set1(1), ratio = vf_mul(y, vf_exp(vf_sub(vf_set1(0), z)));
    *delta = vf_sub(one, ratio);
    return vf_add(vf_sub(z, vf_log(y)), vf_sub(ratio, one));
}

/* `above` where d > 0, `below` where d < 0; else d itself: 0, or nan. */
static ALWAYS_INLINE vf slope_by_sign(vf d, vf below, vf above)
{
    const vf zero = vf_set1(0);
    return vf_select(vf_lt(d, zero), below, vf_select(vf_lt(zero, d), above, d));
}

/* |o − y| */
static ALWAYS_INLINE vf absolute_error_terms(vf z, vf y, vf none, vf *delta)
{
    (void)none;
    const vf d = vf_sub(z, y);
    *delta = slope_by_sign(d, vf_set1(-1), vf_set1(1));
    return vf_abs(d);
}

/* q·(y − o) below the target, (1 − q)·(o − y) above it: the pinball loss, least at the q-quantile. */
static ALWAYS_INLINE vf quantile_terms(vf z, vf y, vf level, vf *delta)
{
    const vf d = vf_sub(z, y);
    *delta = slope_by_sign(d, vf_sub(vf_set1(0), level), vf_sub(vf_set1(1), level));
    return vf_mul(d, *delta);
}

/* ½ (o − y)² up to the limit, from there on a line of that slope: limit · (|o − y| − limit/2) */
static ALWAYS_INLINE vf huber_terms(vf z, vf y, vf limit, vf *delta)
{
    const vf half = vf_set1((real)0.5), d = vf_sub(z, y), size = vf_abs(d);
    const vm within = vf_lt(size, limit);
    *delta = vf_select(within, d, slope_by_sign(d, vf_sub(vf_set1(0), limit), limit));
    return vf_select(within, vf_mul(vf_mul(d, d), half),
                     vf_mul(limit, vf_sub(size, vf_mul(limit, half))));
}

/* What a loss's terms read at outputs c and on; `kind` is a constant. */
static ALWAYS_INLINE vf parameter_at(const fbp_targets *targets, int64_t c, int kind)
{
    if (kind == FBP_PARAMETER_NONE) return vf_set1(0);
    if (kind == FBP_PARAMETER_SMOOTHING) return vf_set1((real)targets->label_smoothing);
    return vf_load((const real *)targets->parameters + c);
}

/* One output: z is a vector over rows. */
static ALWAYS_INLINE void column_loss(int64_t rows, real *z, const fbp_targets *targets,
                                      double *row_loss, terms_op *terms, int kind)
{
    const real *y = targets->y, *weights = targets->weights;
    const vf parameter = parameter_at(targets, 0, kind);
    for (int64_t row = 0; row < rows; row += VF_LANES) {
        const int64_t n = fbp_min(VF_LANES, rows - row);
        vf delta;
        vf loss = terms(load_tail(z + row, n), load_tail(y + row, n), parameter, &delta);
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
                                     const fbp_targets *targets, double *row_loss, terms_op *terms,
                                     int kind)
{
    const real *y = targets->y, *weights = targets->weights;
    const int64_t y_step = fbp_round_up(n, VF_LANES);
    for (int64_t row = 0; row < rows; row++) {
        const real weight = weights ? weights[row] : 1;
        double sum = 0;
        for (int64_t c = 0; c < n; c += VF_LANES) {
            real *zc = z + (c / NR) * stride + row * NR + c % NR;
            const int64_t columns = fbp_min(VF_LANES, n - c);
            vf delta;
            real values[VF_LANES];
            vf_store(values, terms(vf_load(zc), vf_load(y + row * y_step + c),
                                   parameter_at(targets, c, kind), &delta));
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
