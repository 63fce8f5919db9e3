/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exp, log, tanh and logistic; eˣ − 1 (for x ≤ 0, others count as 0), softplus and the normal
 * distribution's share: their error in ULP against a wider type, the same bits in every fused
 * family, their values where there is nothing to round, and their ranges. With --exhaustive, of all 2³²
 * floats; with --every 64, of one block of them in 64. Functions named after that are the only ones.
 *
 * Subnormal arguments count as zero, and results below the smallest normal number are zero.
 */
#include <float.h>
#include <time.h>

#include "kernels.h"

#define BLOCK 4096

typedef struct {
    const char *name;
    double most_ulp;
    exact (*of)(exact);
    float least, most; /* what no result is beyond */
} function;

static exact exact_expm1(exact x) { return isnan(x) ? x : expm1l(fminl(x, 0)); }

/* In the order of fbp_kernels.math. */
static const function functions[] = {
    {"exp", 1, expl, 0, INFINITY},      {"log", 1, logl, -INFINITY, INFINITY},
    {"tanh", 2, tanhl, -1, 1},          {"logistic", 2, exact_logistic, 0, 1},
    {"expm1", 2, exact_expm1, -1, 0},   {"softplus", 2, exact_softplus, 0, INFINITY},
    {"normal_cdf", 8, exact_cdf, 0, 1},
};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

static double smallest_normal(int real) { return real == FBP_F32 ? (double)FLT_MIN : DBL_MIN; }

static double flushed(int real, double x)
{
    return fabs(x) < smallest_normal(real) ? copysign(0, x) : x;
}

/* |y − of(x)| in units of the last place of the exact value; 0 where both are nan, inf or zero. */
static double ulp_error(int real, exact value, double y)
{
    const int digits = real == FBP_F32 ? FLT_MANT_DIG : DBL_MANT_DIG;
    const exact least = (exact)smallest_normal(real);
    const double largest = real == FBP_F32 ? (double)FLT_MAX : DBL_MAX;
    if (isnan(value) || isnan(y)) return isnan(value) && isnan(y) ? 0 : INFINITY;
    if (isinf(y)) return (value > 0) == (y > 0) && fabsl(value) > (exact)largest ? 0 : INFINITY;
    if (isinf(value)) return INFINITY;
    /* Under the smallest normal number the result is zero; at it, rounding may go either way. */
    if (fabsl(value) < least)
        return y == 0 || fabsl(value) > least * (1 - (exact)unit_roundoff(real)) ? 0 : INFINITY;
    int exponent;
    frexpl(value, &exponent);
    return (double)(fabsl((exact)y - value) / ldexpl(1, exponent - digits));
}

/* The worst error of y = f(x); values are the exact ones. */
static double check_error(int real, int f, int isa, const buffer *x, const exact *values,
                          const buffer *y)
{
    double worst = 0;
    int64_t at = 0;
    for (int64_t j = 0; j < x->n; j++) {
        const double error = ulp_error(real, values[j], get(y, j));
        if (error > worst) worst = error, at = j;
    }
    CHECK(worst <= functions[f].most_ulp, "%s %s %s: %.3f ULP at %a = %.9g, gave %.9g",
          functions[f].name, fbp_isa_name(isa), real_name(real), worst, get(x, at), get(x, at),
          get(y, at));
    return worst;
}

/* One block of arguments through one function in every family; raises the worst errors, of ref and of
 * each family with bits of its own. */
static void test_block(int real, int f, const buffer *x, double worst[FBP_N_ISAS])
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    exact values[BLOCK];
    buffer ref = buffer_new(real, x->n);
    for (int64_t j = 0; j < x->n; j++)
        values[j] = functions[f].of((exact)flushed(real, get(x, j)));
    for (int i = 0; i < n_families; i++) {
        const int isa = families[i].isa;
        buffer y = i == 0 ? ref : buffer_new(real, x->n);
        families[i].table->math[f](x->n, x->data, y.data);
        if (i == 0 || !families[i].table->fused) {
            worst[isa] = fmax(worst[isa], check_error(real, f, isa, x, values, &y));
        } else {
            int64_t different = 0;
            for (int64_t j = 0; j < x->n; j++)
                different += !same_bits(get(&y, j), get(&ref, j));
            CHECK(different == 0, "%s %s %s: %lld of %lld differ from ref", functions[f].name,
                  fbp_isa_name(isa), real_name(real), (long long)different, (long long)x->n);
        }
        if (i != 0) buffer_free(&y);
    }
    buffer_free(&ref);
}

/* Arguments of every size: uniform over the interesting range, over all exponents, and near one. */
static double argument(int real, int64_t i)
{
    const double range = real == FBP_F32 ? 110 : 760;
    const int64_t exponents = real == FBP_F32 ? 254 : 2044, digits = real == FBP_F32 ? 22 : 50;
    const double unit = random_between(-1, 1);
    switch (i % 4) {
    case 0:
        return range * unit;
    case 1:
        return 4 * unit;
    case 2:
        return ldexp(2 * unit, (int)(random_below(exponents) - exponents / 2 + 1));
    default:
        return 1 + ldexp(unit, -(int)random_below(digits));
    }
}

static void test_sample(int real, int64_t blocks)
{
    for (int f = 0; f < N_FUNCTIONS; f++) {
        double worst[FBP_N_ISAS] = {0};
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t n = block == 0 ? BLOCK - 3 : BLOCK; /* a tail, too */
            buffer x = buffer_new(real, n);
            for (int64_t i = 0; i < n; i++) {
                const double value = argument(real, i);
                put(&x, i, f == 1 && i % 8 ? fabs(value) : value);
            }
            test_block(real, f, &x, worst);
            buffer_free(&x);
        }
        for (int isa = 0; isa < FBP_N_ISAS; isa++)
            if (worst[isa] > 0)
                printf("%s %s %s: %.3f ULP\n", functions[f].name, fbp_isa_name(isa),
                       real_name(real), worst[isa]);
    }
}

/* f(x) by the double functions, whose error is far below a float's ULP. */
static double float_value(int f, float x)
{
    const double at = fabsf(x) < FLT_MIN ? copysign(0, (double)x) : (double)x;
    switch (f) {
    case 0:
        return exp(at);
    case 1:
        return log(at);
    case 2:
        return tanh(at);
    case 3:
        return 1 / (1 + exp(-at));
    case 4:
        return isnan(at) ? at : expm1(fmin(at, 0));
    case 5:
        if (at > 40) return at; /* and below −40 it is eˣ, within 1e-17 of either */
        return at < -40 ? exp(at) : fmax(at, 0) + log1p(exp(-fabs(at)));
    default:
        return erfc(-at / sqrt(2)) / 2;
    }
}

/* As ulp_error, quickly where both are plain numbers, both infinite or both zero. */
static double float_error(double value, float y)
{
    uint64_t bits;
    double scale;
    memcpy(&bits, &value, sizeof bits);
    if (!(fabs(value) >= (double)FLT_MIN && fabs(value) <= (double)FLT_MAX && isfinite(y)))
        return (float)value == y ? 0 : ulp_error(FBP_F32, (exact)value, (double)y);
    bits = (UINT64_C(2 * 1023 + FLT_MANT_DIG - 1) - (bits << 1 >> 53)) << 52;
    memcpy(&scale, &bits, sizeof scale);
    return fabs((double)y - value) * scale;
}

typedef struct {
    double worst[FBP_N_ISAS];
    int64_t different, outside, not_odd; /* from the fastest fused family's; beyond the range */
} findings;

static int64_t differences(const float *a, const float *b)
{
    int64_t n = 0;
    if (memcmp(a, b, BLOCK * sizeof *a) == 0) return 0;
    for (int i = 0; i < BLOCK; i++)
        n += !same_bits((double)a[i], (double)b[i]);
    return n;
}

/* One family's results for a block; values are the exact ones. */
static void judge(const family *k, int f, const float *x, const float *y, const double *values,
                  findings *found)
{
    float opposite[BLOCK], y_opposite[BLOCK];
    double *worst = &found->worst[k->isa];
    for (int i = 0; i < BLOCK; i++) {
        const double error = float_error(values[i], y[i]);
        if (error > *worst) *worst = error;
        found->outside += y[i] < functions[f].least || y[i] > functions[f].most;
    }
    if (strcmp(functions[f].name, "tanh") != 0) return;
    for (int i = 0; i < BLOCK; i++)
        opposite[i] = -x[i];
    k->table->math[f](BLOCK, opposite, y_opposite);
    for (int i = 0; i < BLOCK; i++)
        opposite[i] = -y[i];
    found->not_odd += differences(y_opposite, opposite);
}

/* A block of floats through the fastest fused family, to which the others must be equal (ref, which is
 * slow, in every 64th block), and through each family with bits of its own. A tanh below 0 is judged
 * with the one above. */
static void every_float_of(int64_t block, int f, const family *families, int n_families,
                           int with_ref, findings *found)
{
    float x[BLOCK], y[BLOCK], kept[BLOCK];
    double values[BLOCK];
    const int mirrored = strcmp(functions[f].name, "tanh") == 0 && block * BLOCK >> 31;
    int fused_seen = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        const uint32_t bits = (uint32_t)(block * BLOCK) + i;
        memcpy(&x[i], &bits, sizeof bits);
        if (!mirrored) values[i] = float_value(f, x[i]);
    }
    for (int own = n_families - 1; own >= (with_ref ? 0 : 1); own--) {
        const family *k = &families[own];
        if (own > 0 && k->table == k[-1].table) continue; /* the base of split products */
        const int compared = k->table->fused && fused_seen;
        k->table->math[f](BLOCK, x, y);
        if (compared) found->different += differences(y, kept);
        if (!compared && !mirrored) judge(k, f, x, y, values, found);
        if (compared || !k->table->fused) continue;
        memcpy(kept, y, sizeof y);
        fused_seen = 1;
    }
}

/* Of one block in `every`, each time another one: 4096 floats next to each other. */
static void test_every_float(int f, int64_t every)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(FBP_F32, families);
    const int64_t n_blocks = (INT64_C(1) << 32) / BLOCK / every;
    const clock_t begin = clock();
    double worst[FBP_N_ISAS] = {0};
    int64_t different = 0, outside = 0, not_odd = 0;
#pragma omp parallel for reduction(max : worst) reduction(+ : different, outside, not_odd) \
    schedule(dynamic, 64)
    for (int64_t i = 0; i < n_blocks; i++) {
        findings found = {0};
        flush_subnormals();
        every_float_of(i * every + (i * 7 + 3) % every, f, families, n_families,
                       n_families == 1 || i % 64 == 0, &found);
        for (int isa = 0; isa < FBP_N_ISAS; isa++)
            worst[isa] = fmax(worst[isa], found.worst[isa]);
        different += found.different, outside += found.outside, not_odd += found.not_odd;
    }
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        if (worst[isa] == 0) continue;
        printf("%s %s f32, %lld floats: %.3f ULP\n", functions[f].name, fbp_isa_name(isa),
               (long long)(n_blocks * BLOCK), worst[isa]);
        CHECK(worst[isa] <= functions[f].most_ulp, "%s %s f32: %.3f ULP", functions[f].name,
              fbp_isa_name(isa), worst[isa]);
    }
    printf("%s: %.1f s of CPU time\n", functions[f].name,
           (double)(clock() - begin) / CLOCKS_PER_SEC);
    CHECK(different == 0 && outside == 0 && not_odd == 0,
          "%s f32: families differ at %lld floats, %lld beyond the range, %lld not odd",
          functions[f].name, (long long)different, (long long)outside, (long long)not_odd);
}

/* Whether no function is named, or this one is. */
static int is_chosen(int f, int n_names, char **names)
{
    for (int i = 0; i < n_names; i++)
        if (strcmp(names[i], functions[f].name) == 0) return 1;
    return n_names == 0;
}

/* x, then the functions of it, in their order. */
#define LN2 0x1.62e42fefa39efp-1
static const double special[][1 + N_FUNCTIONS] = {
    {0, 1, -INFINITY, 0, 0.5, 0, LN2, 0.5},
    {-0.0, 1, -INFINITY, -0.0, 0.5, 0, LN2, 0.5},
    {1e-310, 1, -INFINITY, 0, 0.5, 0, LN2, 0.5},
    {-1e-310, 1, -INFINITY, -0.0, 0.5, 0, LN2, 0.5},
    {INFINITY, INFINITY, INFINITY, 1, 1, 0, INFINITY, 1},
    {-INFINITY, 0, NAN, -1, 0, -1, 0, 0},
    {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
    {-1, 0x1.78b56362cef38p-2, NAN, -0x1.85efab514f394p-1, 0x1.136561454ba86p-2,
     -0x1.43a54e4e98864p-1, 0x1.40c7abfbec125p-2, 0x1.44ed0bb7cb20cp-3},
    {1e30, INFINITY, 0x1.144f69ff9ffc4p+6, 1, 1, 0, 1e30, 1},
    {-1e30, 0, NAN, -1, 0, -1, 0, 0},
};

static void test_special(int real)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    for (int i = 0; i < n_families; i++)
        for (int f = 0; f < N_FUNCTIONS; f++)
            for (size_t row = 0; row < sizeof special / sizeof *special; row++) {
                buffer x = buffer_new(real, 1), y = buffer_new(real, 1);
                put(&x, 0, special[row][0]);
                families[i].table->math[f](1, x.data, y.data);
                const double value = rounded(real, special[row][f + 1]), actual = get(&y, 0);
                const int plain = isfinite(value) && value != 0 && value != 1 && value != 0.5;
                CHECK(plain ? fabs(actual / value - 1) < 4 * unit_roundoff(real)
                            : same_bits(actual, value),
                      "%s %s %s: at %g gave %g, expected %g", functions[f].name,
                      fbp_isa_name(families[i].isa), real_name(real), special[row][0], actual,
                      value);
                buffer_free(&x);
                buffer_free(&y);
            }
}

/* NaN means NaN, whatever its payload. */
static void test_nans(int real)
{
    static const uint64_t payloads[] = {1,        2,        0x3fffff,        0x400000,
                                        0x400001, 0x7fffff, 0x8000000000000, 0xfffffffffffff};
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    for (int own = 0; own < n_families; own++)
        for (int f = 0; f < N_FUNCTIONS; f++)
            for (int i = 0; i < 16; i++) {
                const uint64_t wide = payloads[i / 2] | (i % 2 ? 0xfff : 0x7ffull) << 52;
                const uint32_t narrow =
                    (uint32_t)(payloads[i / 2] & 0x7fffff) | (i % 2 ? 0xff8u : 0x7f8u) << 20;
                buffer x = buffer_new(real, 1), y = buffer_new(real, 1);
                memcpy(x.data, real == FBP_F32 ? (const void *)&narrow : (const void *)&wide,
                       real_bytes(real));
                families[own].table->math[f](1, x.data, y.data);
                CHECK(!isnan(get(&x, 0)) || isnan(get(&y, 0)),
                      "%s %s %s: nan with payload %llx gave %g", functions[f].name,
                      fbp_isa_name(families[own].isa), real_name(real),
                      (unsigned long long)payloads[i / 2], get(&y, 0));
                buffer_free(&x);
                buffer_free(&y);
            }
}

static void test_tanh_is_odd(int real)
{
    family families[FBP_N_ISAS];
    families_of(real, families);
    for (int64_t i = 0; i < 10000; i++) {
        double y[2];
        buffer x = buffer_new(real, 2), out = buffer_new(real, 2);
        put(&x, 0, argument(real, i));
        put(&x, 1, -get(&x, 0));
        families[0].table->math[2](2, x.data, out.data);
        y[0] = get(&out, 0), y[1] = -get(&out, 1);
        CHECK(same_bits(y[0], y[1]), "tanh %s: not odd at %a", real_name(real), get(&x, 0));
        buffer_free(&x);
        buffer_free(&out);
    }
}

int main(int argc, char **argv)
{
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        test_special(real);
        test_nans(real);
        test_tanh_is_odd(real);
        test_sample(real, fewer_cases() ? 25 : 100);
    }
    const int exhaustive = argc > 1 && strcmp(argv[1], "--exhaustive") == 0;
    const int some = argc > 2 && strcmp(argv[1], "--every") == 0, first_name = some ? 3 : 2;
    for (int f = 0; (exhaustive || some) && f < N_FUNCTIONS; f++)
        if (is_chosen(f, argc - first_name, argv + first_name))
            test_every_float(f, some ? strtol(argv[2], NULL, 10) : 1);
    return check_done("math");
}
