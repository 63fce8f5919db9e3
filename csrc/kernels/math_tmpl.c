/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exp, log, tanh, logistic, eˣ − 1 below 0, softplus and the normal distribution, the same operations
 * in the same order in every fused family.
 *
 * exp(x) = 2ⁿ · eʳ, n = round(x / ln 2), |r| ≤ ln 2 / 2, eʳ by its Taylor series, whose remainder is
 * below 0.04 ULP (0.3466⁹/9! = 2e-10 in f32, 0.3466¹⁴/14! = 4e-18 in f64); ln 2 is subtracted in two
 * parts (Cody and Waite). tanh and logistic are built on eʳ − 1, so that small arguments keep their
 * relative accuracy. Over all floats the errors are at most 1 ULP (exp, log) and 2 (tanh, logistic).
 * log(x) = e · ln 2 + log(1 + f), the series in s = f / (2 + f), summed as fdlibm does, so that nothing
 * cancels. The normal distribution's tail is e^(−x²/2) times a polynomial (vf_normal_tail), which keeps
 * its relative accuracy, as 1 + erf would not.
 *
 * Subnormal arguments count as zero and results below the smallest normal number are zero (FTZ and
 * DAZ are set while these run). A minimax polynomial would save two terms: the series states its own
 * error bound and costs some 2 % of a softmax row, measured.
 */

#if REAL_BITS == 32
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define LN2_HI 0.693359375f /* 9 bits: n · LN2_HI is exact */
#define LN2_LO -2.12194440e-4f
#define EXP_MIN -87.33654f      /* below: result under the smallest normal number */
#define EXP_MAX 88.72284f       /* from it on: infinity */
#define LOGISTIC_MAX 88.0f      /* below its negative: under the smallest normal number */
#define TANH_MAX 9.1f           /* above: 1 */
#define NORMAL_MAX 13.1f        /* above: the normal distribution's tail is 0 */
#define HALF_MASK 0xfffff000u   /* leaves 12 bits of a number, whose square is exact */
#define ROUND_MAGIC 12582912.0f /* 1.5 · 2²³ */
#define MANTISSA_MASK 0x007fffffu
#define ONE_BITS 0x3f800000u
#define INTEGER_MAGIC 8388608.0f /* 2²³: its bits or an integer < 2²³ is 2²³ + integer */
#define SIGN_BITS 0x80000000u
#define ABS_BITS 0x7fffffffu
#else
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define LN2_HI 6.93147180369123816490e-01 /* 33 bits */
#define LN2_LO 1.90821492927058770002e-10
#define EXP_MIN -708.3964185322641
#define EXP_MAX 709.7827128933841
#define LOGISTIC_MAX 709.0
#define TANH_MAX 20.0
#define NORMAL_MAX 37.6
#define HALF_MASK 0xfffffffff8000000ull /* 26 bits */
#define ROUND_MAGIC 6755399441055744.0  /* 1.5 · 2⁵² */
#define MANTISSA_MASK 0x000fffffffffffffull
#define ONE_BITS 0x3ff0000000000000ull
#define INTEGER_MAGIC 4503599627370496.0 /* 2⁵² */
#define SIGN_BITS 0x8000000000000000ull
#define ABS_BITS 0x7fffffffffffffffull
#endif

static inline vf vf_abs(vf x) { return vf_and(x, vf_set1_bits(ABS_BITS)); }

/* 2ⁿ for integers n in −bias+1 … bias, given as reals. */
static inline vf exp2_integer(vf n)
{
    return vf_shl_bits(vf_add(n, vf_set1(ROUND_MAGIC + EXPONENT_BIAS)), MANTISSA_BITS);
}

/* x − n · ln 2, and its two parts: x − n · hi, exact, and −n · lo. */
typedef struct {
    vf r, high, low;
} reduced;

/* eʳ − 1 for |r| ≤ ln 2 / 2: r + r² · (1/2 + r/6 + …). Where each product is rounded, r is taken in its
 * two parts instead, which leaves its own rounding out of the sum (tanh needs that to stay below 2 ULP). */
static inline vf expm1_series(reduced x)
{
    const vf r = x.r;
#if REAL_BITS == 32
    vf p = vf_set1((real)(1.0 / 40320));
#else
    vf p = vf_set1((real)(1.0 / 6227020800.0));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 479001600)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 39916800)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 3628800)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 362880)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 40320)));
#endif
    p = vf_fma(p, r, vf_set1((real)(1.0 / 5040)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 720)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 120)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 24)));
    p = vf_fma(p, r, vf_set1((real)(1.0 / 6)));
    p = vf_fma(p, r, vf_set1((real)0.5));
    if (VF_FUSED) return vf_fma(vf_mul(r, r), p, r);
    return vf_add(x.high, vf_fma(vf_mul(r, r), p, x.low));
}

/* x = n · ln 2 + r. */
static inline vf reduce_ln2(vf x, reduced *to)
{
    const vf n = vf_round(vf_mul(x, vf_set1((real)1.44269504088896340736)));
    to->high = vf_fma(n, vf_set1((real)-LN2_HI), x);
    to->low = vf_mul(n, vf_set1((real)-LN2_LO));
    to->r = vf_fma(n, vf_set1((real)-LN2_LO), to->high);
    return n;
}

static inline vf vf_exp(vf x)
{
    reduced r;
    /* Clamped so that n stays in range. vf_max returns its second operand when the two do not compare:
     * NaN passes. n is added to the exponent's bits, since 2¹²⁸ alone is not a float. */
    const vf limited = vf_sub(vf_set1(0), vf_max(vf_set1(-EXP_MAX), vf_sub(vf_set1(0), x)));
    const vf n = reduce_ln2(vf_max(vf_set1(EXP_MIN), limited), &r);
    const vf n_bits = vf_shl_bits(vf_add(n, vf_set1(ROUND_MAGIC)), MANTISSA_BITS);
    vf y = vf_add_bits(vf_add(vf_set1(1), expm1_series(r)), n_bits);
    y = vf_select(vf_lt(x, vf_set1(EXP_MIN)), vf_set1(0), y);
    return vf_select(vf_lt(x, vf_set1(EXP_MAX)), y, vf_max(vf_set1((real)INFINITY), x));
}

/* 1 / (1 + e), e = exp(−x) = 2ⁿ · (eʳ − 1) + 2ⁿ; the 1 is added first, where 2ⁿ does not yet swallow
 * it. Beyond the limits the result is 0 (flushed) and 1. */
static inline vf vf_logistic(vf x)
{
    reduced r;
    const vf one = vf_set1(1), zero = vf_set1(0);
    const vf limited = vf_sub(zero, vf_max(vf_set1(-LOGISTIC_MAX), x));
    const vf scale = exp2_integer(reduce_ln2(vf_max(vf_set1(-LOGISTIC_MAX), limited), &r));
    return vf_div(one, vf_add(vf_fma(expm1_series(r), scale, one), scale));
}

/* tanh |x| = q = t / (t + 2), t = e^(2|x|) − 1 = 2ⁿ · (eʳ − 1) + (2ⁿ − 1); then the sign of x. Where
 * q < 1/4 it is taken as t/2 − q · t/2, which feels the roundings of t + 2 and q only by q. */
static inline vf vf_tanh(vf x)
{
    reduced r;
    const vf zero = vf_set1(0), one = vf_set1(1), magnitude = vf_abs(x);
    const vf limited = vf_sub(zero, vf_max(vf_set1(-TANH_MAX), vf_sub(zero, magnitude)));
    const vf scale = exp2_integer(reduce_ln2(vf_add(limited, limited), &r));
    const vf t = vf_fma(expm1_series(r), scale, vf_sub(scale, one));
    const vf q = vf_div(t, vf_add(t, vf_set1(2))), half = vf_mul(t, vf_set1((real)0.5));
    vf y = vf_select(vf_lt(q, vf_set1((real)0.25)), vf_fma(half, vf_sub(zero, q), half), q);
    y = vf_select(vf_lt(vf_set1(TANH_MAX), magnitude), one, y);
    return vf_or(y, vf_and(x, vf_set1_bits(SIGN_BITS)));
}

/* log of a normal positive number; 0 gives −∞, ∞ gives ∞, negative numbers and NaN give NaN. */
static inline vf vf_log(vf x)
{
    const vf one = vf_set1(1);
    vf m = vf_or(vf_and(x, vf_set1_bits(MANTISSA_MASK)), vf_set1_bits(ONE_BITS));
    vf e = vf_sub(vf_or(vf_shr_bits(x, MANTISSA_BITS), vf_set1(INTEGER_MAGIC)),
                  vf_set1(INTEGER_MAGIC + EXPONENT_BIAS));
    const vm above = vf_lt(vf_set1((real)1.41421356237309504880), m);
    m = vf_select(above, vf_mul(m, vf_set1((real)0.5)), m);
    e = vf_select(above, vf_add(e, one), e);

    const vf f = vf_sub(m, one);
    const vf s = vf_div(f, vf_add(f, vf_set1(2)));
    const vf z = vf_mul(s, s);
#if REAL_BITS == 32
    vf p = vf_set1((real)(2.0 / 9));
#else
    vf p = vf_set1((real)(2.0 / 21));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 19)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 17)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 15)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 13)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 11)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 9)));
#endif
    p = vf_fma(p, z, vf_set1((real)(2.0 / 7)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 5)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 3)));
    p = vf_mul(p, z);
    const vf half_square = vf_mul(vf_mul(f, f), vf_set1((real)0.5));
    /* e·hi − ((f²/2 − (s·(f²/2 + p) + e·lo)) − f) */
    const vf low = vf_fma(s, vf_add(half_square, p), vf_mul(e, vf_set1((real)LN2_LO)));
    vf y = vf_sub(vf_mul(e, vf_set1((real)LN2_HI)), vf_sub(vf_sub(half_square, low), f));

    const vf zero = vf_set1(0), infinity = vf_set1((real)INFINITY);
    y = vf_select(vf_eq(x, infinity), infinity, y);
    y = vf_select(vf_eq(x, zero), vf_sub(zero, infinity), y);
    return vf_select(vf_lt(x, zero), vf_set1((real)NAN), vf_select(vf_eq(x, x), y, x));
}

/* eˣ − 1 for x ≤ 0; larger x count as 0. */
static inline vf vf_expm1(vf x)
{
    reduced r;
    const vf zero = vf_set1(0);
    const vf below = vf_sub(zero, vf_max(zero, vf_sub(zero, x)));
    const vf scale = exp2_integer(reduce_ln2(vf_max(vf_set1(-LOGISTIC_MAX), below), &r));
    return vf_fma(expm1_series(r), scale, vf_sub(scale, vf_set1(1)));
}

/* log(1 + u) for 0 ≤ u ≤ 1, as vf_log has it: 1 + u is 1 + f or 2 · (1 + f), |f| ≤ 1/2. */
static inline vf log1p_unit(vf u)
{
    const vf zero = vf_set1(0), one = vf_set1(1), half = vf_set1((real)0.5);
    const vm above = vf_lt(half, u);
    const vf f = vf_select(above, vf_mul(vf_sub(u, one), half), u), e = vf_select(above, one, zero);
    const vf s = vf_div(f, vf_add(f, vf_set1(2)));
    const vf z = vf_mul(s, s); /* ≤ 1/25: what the series leaves out is below 0.1 ULP */
#if REAL_BITS == 32
    vf p = vf_set1((real)(2.0 / 11));
#else
    vf p = vf_set1((real)(2.0 / 25));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 23)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 21)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 19)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 17)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 15)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 13)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 11)));
#endif
    p = vf_fma(p, z, vf_set1((real)(2.0 / 9)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 7)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 5)));
    p = vf_fma(p, z, vf_set1((real)(2.0 / 3)));
    p = vf_mul(p, z);
    const vf half_square = vf_mul(vf_mul(f, f), half);
    const vf low = vf_fma(s, vf_add(half_square, p), vf_mul(e, vf_set1((real)LN2_LO)));
    return vf_sub(vf_mul(e, vf_set1((real)LN2_HI)), vf_sub(vf_sub(half_square, low), f));
}

/* log(1 + eˣ) = max(0, x) + log(1 + e^−|x|) */
static inline vf vf_softplus(vf x)
{
    const vf zero = vf_set1(0);
    return vf_add(vf_max(zero, x), log1p_unit(vf_exp(vf_sub(zero, vf_abs(x)))));
}

/* Of the standard normal distribution: Φ(−x), and √2π times the density at x. */
typedef struct {
    vf tail, density;
} normal;

/* For 0 ≤ x ≤ NORMAL_MAX. Φ(−x) = e^(−x²/2) · Q(s) / (x + c), s = (x − c) / (x + c), Q a polynomial by
 * interpolation at Chebyshev's points, within 2.1e-9 (f32) and 1.2e-17 (f64) of its function. x² is
 * taken in two parts, since e^(−x²/2) has as many times the relative error as x²/2 has ones. */
static inline normal vf_normal_tail(vf x)
{
    reduced r;
    const vf high = vf_and(x, vf_set1_bits(HALF_MASK));
    const vf low = vf_mul(vf_sub(x, high), vf_add(x, high));
    const vf n = reduce_ln2(vf_mul(vf_mul(high, high), vf_set1((real)-0.5)), &r);
    r.low = vf_fma(low, vf_set1((real)-0.5), r.low);
    r.r = vf_add(r.high, r.low);
    const vf density = vf_mul(vf_add(vf_set1(1), expm1_series(r)), exp2_integer(n));
#if REAL_BITS == 32
    const vf c = vf_set1(4);
#else
    const vf c = vf_set1(5);
#endif
    const vf q = vf_div(vf_set1(1), vf_add(x, c)), s = vf_mul(vf_sub(x, c), q);
#if REAL_BITS == 32
    vf p = vf_set1((real)-0.00005490997403480532253);
    p = vf_fma(p, s, vf_set1((real)-0.0002406930181859763274));
    p = vf_fma(p, s, vf_set1((real)0.00016526789919377394708));
    p = vf_fma(p, s, vf_set1((real)0.0016480985641925988676));
    p = vf_fma(p, s, vf_set1((real)-0.0034854444283768974905));
    p = vf_fma(p, s, vf_set1((real)-0.0075450856478841047353));
    p = vf_fma(p, s, vf_set1((real)0.060396835015765187309));
    p = vf_fma(p, s, vf_set1((real)-0.18652137957586212357));
    p = vf_fma(p, s, vf_set1((real)0.38713740725855732197));
    p = vf_fma(p, s, vf_set1((real)-0.60789665464471824876));
    p = vf_fma(p, s, vf_set1((real)0.75528513027322462822));
#else
    vf p = vf_set1((real)-1.4967015945146107538e-10);
    p = vf_fma(p, s, vf_set1((real)1.7799257411525281279e-9));
    p = vf_fma(p, s, vf_set1((real)7.6625184425348191792e-9));
    p = vf_fma(p, s, vf_set1((real)-9.3832894229816052201e-9));
    p = vf_fma(p, s, vf_set1((real)-6.5983380575673895144e-8));
    p = vf_fma(p, s, vf_set1((real)4.2348688651080038339e-8));
    p = vf_fma(p, s, vf_set1((real)4.3320814509461143611e-7));
    p = vf_fma(p, s, vf_set1((real)-3.3665534340061790657e-7));
    p = vf_fma(p, s, vf_set1((real)-2.7693178940658228258e-6));
    p = vf_fma(p, s, vf_set1((real)3.9809132539483410843e-6));
    p = vf_fma(p, s, vf_set1((real)0.000016681235760536204738));
    p = vf_fma(p, s, vf_set1((real)-0.000049762815296091399293));
    p = vf_fma(p, s, vf_set1((real)-0.000059375733785767879776));
    p = vf_fma(p, s, vf_set1((real)0.00054489906454439293694));
    p = vf_fma(p, s, vf_set1((real)-0.00079786939755277482684));
    p = vf_fma(p, s, vf_set1((real)-0.0029933767704363544108));
    p = vf_fma(p, s, vf_set1((real)0.020795066799800503939));
    p = vf_fma(p, s, vf_set1((real)-0.069118638706317434667));
    p = vf_fma(p, s, vf_set1((real)0.16502036617038852225));
    p = vf_fma(p, s, vf_set1((real)-0.31353315667130426156));
    p = vf_fma(p, s, vf_set1((real)0.4953056159699763451));
    p = vf_fma(p, s, vf_set1((real)-0.66538250289005670336));
    p = vf_fma(p, s, vf_set1((real)0.76919304975006295876));
#endif
    return (normal){vf_mul(vf_mul(density, q), p), density};
}

/* |x|, but no more than a limit. */
static inline vf limited_magnitude(vf x, real limit)
{
    const vf zero = vf_set1(0);
    return vf_sub(zero, vf_max(vf_set1(-limit), vf_sub(zero, vf_abs(x))));
}

/* The normal distribution's share below x. */
static inline vf vf_normal_cdf(vf x)
{
    const vf tail = vf_normal_tail(limited_magnitude(x, NORMAL_MAX)).tail;
    return vf_select(vf_lt(vf_set1(0), x), vf_sub(vf_set1(1), tail), tail);
}
