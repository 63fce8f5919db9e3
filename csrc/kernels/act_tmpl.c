/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Activations: a = <name>_forward(z), and <name>_backward(delta, a) = delta · act'(z), the derivative
 * written from the output a. Where it is not a function of a, <name>_slope(z) = act'(z) instead (the
 * compiler finds what the two have in common). A NaN in z stays a NaN in a; an infinite z gives act's
 * limit.
 */

static ALWAYS_INLINE vf identity_forward(vf z) { return z; }

static ALWAYS_INLINE vf identity_backward(vf delta, vf a)
{
    (void)a;
    return delta;
}

static ALWAYS_INLINE vf logistic_forward(vf z) { return vf_logistic(z); }

static ALWAYS_INLINE vf logistic_backward(vf delta, vf a)
{
    return vf_mul(vf_mul(delta, a), vf_sub(vf_set1(1), a));
}

static ALWAYS_INLINE vf tanh_forward(vf z) { return vf_tanh(z); }

static ALWAYS_INLINE vf tanh_backward(vf delta, vf a)
{
    return vf_mul(delta, vf_sub(vf_set1(1), vf_mul(a, a)));
}

static ALWAYS_INLINE vf relu_forward(vf z) { return vf_max(vf_set1(0), z); }

static ALWAYS_INLINE vf relu_backward(vf delta, vf a)
{
    return vf_select(vf_eq(a, vf_set1(0)), vf_set1(0), delta);
}

static ALWAYS_INLINE vf leaky_relu_forward(vf z)
{
    return vf_max(vf_mul(vf_set1((real)0.01), z), z);
}

static ALWAYS_INLINE vf leaky_relu_backward(vf delta, vf a)
{
    return vf_select(vf_lt(vf_set1(0), a), delta, vf_mul(vf_set1((real)0.01), delta));
}

static ALWAYS_INLINE vf elu_forward(vf z)
{
    return vf_select(vf_lt(vf_set1(0), z), z, vf_expm1(z));
}

static ALWAYS_INLINE vf elu_backward(vf delta, vf a)
{
    const vf zero = vf_set1(0), one = vf_set1(1);
    return vf_mul(delta, vf_select(vf_lt(zero, a), one, vf_add(a, one)));
}

/* Klambauer et al., arXiv:1706.02515: the slope above 0, and minus the limit below. */
#define SELU_SCALE ((real)1.0507009873554804934193)
#define SELU_LIMIT ((real)1.7580993408473768599402)

static ALWAYS_INLINE vf selu_forward(vf z)
{
    const vf below = vf_mul(vf_set1(SELU_LIMIT), vf_expm1(z));
    return vf_select(vf_lt(vf_set1(0), z), vf_mul(vf_set1(SELU_SCALE), z), below);
}

static ALWAYS_INLINE vf selu_backward(vf delta, vf a)
{
    const vf below = vf_add(a, vf_set1(SELU_LIMIT));
    return vf_mul(delta, vf_select(vf_lt(vf_set1(0), a), vf_set1(SELU_SCALE), below));
}

/* z · Φ(z) = relu(z) − |z| · Φ(−|z|) */
static ALWAYS_INLINE vf gelu_forward(vf z)
{
    const vf m = limited_magnitude(z, NORMAL_MAX);
    return vf_sub(vf_max(vf_set1(0), z), vf_mul(m, vf_normal_tail(m).tail));
}

/* Φ(−|z|) − |z| · density below 0; act'(z) + act'(−z) = 1. */
static ALWAYS_INLINE vf gelu_slope(vf z)
{
    const vf m = limited_magnitude(z, NORMAL_MAX);
    const vf scale = vf_set1((real)-0.39894228040143267794); /* 1 / √2π */
    const normal at = vf_normal_tail(m);
    const vf below = vf_fma(vf_mul(m, scale), at.density, at.tail);
    return vf_select(vf_lt(vf_set1(0), z), vf_sub(vf_set1(1), below), below);
}

/* z · logistic(z) = relu(z) − |z| · q, q = logistic(−|z|), which is never rounded where it is near 1. */
static ALWAYS_INLINE vf silu_forward(vf z)
{
    const vf zero = vf_set1(0), m = limited_magnitude(z, LOGISTIC_MAX);
    return vf_sub(vf_max(zero, z), vf_mul(m, vf_logistic(vf_sub(zero, m))));
}

/* q − |z| · q · (1 − q) below 0; act'(z) + act'(−z) = 1. */
static ALWAYS_INLINE vf silu_slope(vf z)
{
    const vf zero = vf_set1(0), one = vf_set1(1), m = limited_magnitude(z, LOGISTIC_MAX);
    const vf q = vf_logistic(vf_sub(zero, m));
    const vf below = vf_fma(vf_mul(m, q), vf_sub(q, one), q);
    return vf_select(vf_lt(zero, z), vf_sub(one, below), below);
}

/* eᶻ; from MISH_MAX on, where mish(z) is z, that of MISH_MAX. */
#define MISH_MAX ((real)(REAL_BITS * 0.625))

static ALWAYS_INLINE vf mish_exp(vf z)
{
    const vf zero = vf_set1(0);
    return vf_exp(vf_sub(zero, vf_max(vf_set1(-MISH_MAX), vf_sub(zero, z))));
}

/* z · tanh(softplus(z)) = z · n / (n + 2), n = eᶻ · (eᶻ + 2). Where eᶻ is 0, z is not infinite. */
static ALWAYS_INLINE vf mish_forward(vf z)
{
    const vf two = vf_set1(2), e = mish_exp(z), n = vf_mul(e, vf_add(e, two));
    return vf_mul(vf_max(vf_set1(-LOGISTIC_MAX), z), vf_div(n, vf_add(n, two)));
}

/* n / (n + 2) + 4 · z · eᶻ · (eᶻ + 1) / (n + 2)² */
static ALWAYS_INLINE vf mish_slope(vf z)
{
    const vf one = vf_set1(1), two = vf_set1(2), four = vf_set1(4);
    const vf e = mish_exp(z), n = vf_mul(e, vf_add(e, two)), q = vf_div(one, vf_add(n, two));
    const vf minus_z = vf_max(vf_set1(-MISH_MAX), vf_sub(vf_set1(0), z));
    const vf limited = vf_max(vf_set1(-LOGISTIC_MAX), vf_sub(vf_set1(0), minus_z));
    const vf rise = vf_mul(vf_mul(four, limited), vf_mul(e, vf_add(e, one)));
    return vf_mul(vf_fma(rise, q, n), q);
}

static ALWAYS_INLINE vf softplus_forward(vf z) { return vf_softplus(z); }

static ALWAYS_INLINE vf softplus_backward(vf delta, vf a)
{
    const vf zero = vf_set1(0);
    return vf_mul(delta, vf_sub(zero, vf_expm1(vf_sub(zero, a))));
}
