/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Activations as training runs them where it keeps slopes: z → act(z) in place and act'(z) beside it,
 * for every activation (any may be followed by what changes its slopes), in every family: act(z) with
 * the bits of a prediction's, act'(z) against an oracle in long double, both with the bits of ref where
 * the family is fused. Then the backward products that end with stored slopes.
 */
#include "kernels.h"

static char label[200];

static void describe(const char *what, int activation, int isa, int real, int64_t n)
{
    snprintf(label, sizeof label, "%s %s %s %s, %lld columns", what,
             fbp_activation_name(activation), fbp_isa_name(isa), real_name(real), (long long)n);
}

/* act(z) and act'(z) of a plain [rows × n]. */
static void run_slopes(const family *f, int real, int activation, int64_t rows, int64_t n,
                       const double *z, double *a, double *slopes)
{
    const fbp_kernels *k = f->table;
    panels values = panels_new(k, real, rows, n), beside = panels_new(k, real, rows, n);
    panels_fill(&values, z, rows, NAN);
    k->slopes[activation](rows, n, values.b.data, beside.b.data, values.stride);
    panels_read(&values, rows, a);
    panels_read(&beside, rows, slopes);
    buffer_free(&values.b), buffer_free(&beside.b);
}

static void check_activated(const family *f, int real, int activation, int64_t size,
                            const double *z, const double *a)
{
    buffer alone = vector_new(f->table, real, z, size, 0.5);
    f->table->activate[activation](size, alone.data);
    int64_t wrong = 0;
    for (int64_t i = 0; i < size; i++)
        wrong += !same_bits(a[i], get(&alone, i));
    CHECK(wrong == 0, "%s: %lld of act(z) are not those of a prediction", label, (long long)wrong);
    buffer_free(&alone);
}

static void test_slopes(int real, int activation, int64_t rows, int64_t n)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    const int64_t size = rows * n;
    double *z = matrix_random(real, size, REALS), *tolerance = matrix_new(size);
    double *a = matrix_new(size), *slopes = matrix_new(size), *expected = matrix_new(size);
    double *ref_a = matrix_new(size), *ref_slopes = matrix_new(size);
    for (int64_t i = 0; i < size; i++) {
        z[i] *= i % 3 == 0 ? 1 : i % 3 == 1 ? 8 : 64;
        expected[i] = (double)exactly(activation)->slope((exact)z[i]);
        tolerance[i] = 10 * unit_roundoff(real);
    }
    for (int f = 0; f < n_families; f++) {
        describe("slopes", activation, families[f].isa, real, n);
        run_slopes(&families[f], real, activation, rows, n, z, f == 0 ? ref_a : a,
                   f == 0 ? ref_slopes : slopes);
        check_close(label, size, f == 0 ? ref_slopes : slopes, expected, tolerance);
        check_activated(&families[f], real, activation, size, z, f == 0 ? ref_a : a);
        if (f == 0 || !families[f].table->fused) continue;
        check_same(label, size, a, ref_a);
        check_same(label, size, slopes, ref_slopes);
    }
    free(z), free(a), free(slopes), free(expected), free(tolerance);
    free(ref_a), free(ref_slopes);
}

/* However large z is, no NaN, but the limits; and NaN stays. */
static void test_limits(int real, int activation)
{
    static const double z[] = {1e4, 1e30, INFINITY, -1e4, -1e30, -INFINITY, NAN};
    enum { N = sizeof z / sizeof *z };
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    for (int f = 0; f < n_families; f++) {
        double a[N], slopes[N];
        describe("limits", activation, families[f].isa, real, N);
        run_slopes(&families[f], real, activation, 1, N, z, a, slopes);
        for (int side = 0; side < 6; side += 3) {
            const int grows = fabs(a[side + 1]) > 1e20;
            CHECK(grows ? a[side + 2] == a[side + 1] * 1e300 * 1e300 : a[side + 2] == a[side],
                  "%s: act(%g) = %g, act(%g) = %g", label, z[side + 1], a[side + 1], z[side + 2],
                  a[side + 2]);
            const double slope = (double)exactly(activation)->slope((exact)z[side]);
            for (int i = side; i < side + 3; i++)
                CHECK(fabs(slopes[i] - slope) <= 4 * unit_roundoff(real), "%s: act'(%g) = %g",
                      label, z[i], slopes[i]);
        }
        CHECK(isnan(a[N - 1]), "%s: act(nan) = %g", label, a[N - 1]);
    }
}

/* out = (delta · Wᵀ) ⊙ slopes, many columns of delta or one, against sums in long double. */
static void test_backward(int real, int64_t rows, int64_t n, int64_t k)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    const int64_t size = rows * n, padded = fbp_round_up(rows, 32);
    double *delta = matrix_random(real, rows * k, REALS), *w = matrix_random(real, n * k, REALS);
    double *slopes = matrix_random(real, size, REALS), *expected = matrix_new(size);
    double *out = matrix_new(size), *ref = matrix_new(size), *tolerance = matrix_new(size);
    for (int64_t i = 0; i < size; i++) {
        exact sum = 0, bound = 0;
        for (int64_t j = 0; j < k; j++) {
            const exact term = (exact)delta[i / n * k + j] * (exact)w[i % n * k + j];
            sum += term, bound += fabsl(term);
        }
        expected[i] = (double)(sum * (exact)slopes[i]);
        tolerance[i] = (double)((exact)((double)(k + 4) * unit_roundoff(real)) * bound *
                                fabsl((exact)slopes[i]));
    }
    for (int f = 0; f < n_families; f++) {
        const fbp_kernels *t = families[f].table;
        panels in = panels_new(t, real, padded, n), to = panels_new(t, real, padded, n);
        panels_fill(&in, slopes, rows, NAN);
        snprintf(label, sizeof label, "backward from slopes %s %s %lld x %lld x %lld",
                 fbp_isa_name(families[f].isa), real_name(real), (long long)rows, (long long)n,
                 (long long)k);
        if (k == 1) {
            buffer column = vector_new(t, real, w, n, 0), d = buffer_new(real, padded);
            for (int64_t r = 0; r < rows; r++)
                put(&d, r, delta[r]);
            t->backward_column_slopes(padded, n, 1, d.data, 0, column.data, in.b.data, in.stride,
                                      to.b.data);
            buffer_free(&column), buffer_free(&d);
        } else {
            packed weights = packed_new(t, real, n, k, w);
            panels d = panels_new(t, real, padded, k);
            panels_fill(&d, delta, rows, NAN);
            t->backward_slopes(padded, n, k, d.b.data, d.stride, weights.wt.data, in.b.data,
                               in.stride, to.b.data);
            packed_free(&weights), buffer_free(&d.b);
        }
        panels_read(&to, rows, f == 0 ? ref : out);
        check_close(label, size, f == 0 ? ref : out, expected, tolerance);
        if (f > 0 && t->fused) check_same(label, size, out, ref);
        buffer_free(&in.b), buffer_free(&to.b);
    }
    free(delta), free(w), free(slopes), free(expected), free(out), free(ref), free(tolerance);
}

int main(void)
{
    static const int64_t widths[] = {1, 3, 16, 17, 47, 48, 49, 150};
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        for (int activation = 0; activation < FBP_N_ACTIVATIONS; activation++) {
            for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
                test_slopes(real, activation, 8 * (1 + (int64_t)i % 3), widths[i]);
            test_limits(real, activation);
        }
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            test_backward(real, 19, widths[i], 1);
            test_backward(real, 33, widths[i], 1 + 37 * (int64_t)i);
        }
    }
    return check_done("slopes");
}
