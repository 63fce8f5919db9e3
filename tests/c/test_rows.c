/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prediction without a net: the kernels that read W where the user has it, in every family, against
 * an oracle in long double, bitwise against ref and against the packed kernels; and the test of all
 * values against a bound. Buffers end at protected pages. Rests on: the packed products
 * (test_products).
 */
#include "kernels.h"

static char label[200];

typedef struct {
    int real;
    int64_t rows, n, k;
    double *a, *w, *b; /* [rows × k], [k × n], [n] */
} product;

/* Row-major in and out, rows of a and out a few elements further apart than they must be. */
static void run_rows(const fbp_kernels *k, const product *p, int column, double *result)
{
    const int64_t lda = p->k + 3, ldo = fbp_round_up(p->n, k->lanes) + 1;
    buffer a = buffer_new(p->real, (p->rows - 1) * lda + p->k);
    for (int64_t i = 0; i < p->rows * p->k; i++)
        put(&a, i / p->k * lda + i % p->k, p->a[i]);
    buffer w = buffer_of(p->real, p->w, p->k * p->n), b = buffer_of(p->real, p->b, p->n);
    buffer out = buffer_new(p->real, column ? (p->rows - 1) * ldo + 1 : p->rows * ldo - 1);
    const int64_t half = p->k / 2; /* in two parts, which must not show */
    if (column)
        k->rows_column(p->rows, p->k, a.data, lda, w.data, b.data, out.data, ldo);
    else if (half > 0) {
        const size_t step = real_bytes(p->real) * (size_t)half;
        k->rows(p->rows, p->n, half, a.data, lda, w.data, 1, NULL, out.data, ldo);
        k->rows(p->rows, p->n, p->k - half, (char *)a.data + step, lda,
                (char *)w.data + step * (size_t)p->n, 0, b.data, out.data, ldo);
    } else
        k->rows(p->rows, p->n, p->k, a.data, lda, w.data, 1, b.data, out.data, ldo);
    int64_t touched = 0;
    for (int64_t i = 0; i < out.n; i++) {
        const int64_t r = i / ldo, c = i % ldo;
        if (c < p->n) result[r * p->n + c] = get(&out, i);
        touched += c >= (column ? 1 : ldo - 1) && !isnan(get(&out, i));
    }
    CHECK(touched == 0, "%s: %lld values between rows were written", label, (long long)touched);
    buffer_free(&a), buffer_free(&w), buffer_free(&b), buffer_free(&out);
}

/* The same product by the packed kernels. */
static void run_packed(const fbp_kernels *k, const product *p, int column, double *result)
{
    const int64_t rows = fbp_round_up(p->rows, k->mr);
    panels a = panels_new(k, p->real, rows, p->k), out = panels_new(k, p->real, rows, p->n);
    panels_fill(&a, p->a, p->rows, NAN);
    buffer b = vector_new(k, p->real, p->b, p->n, NAN);
    if (column) {
        buffer w = vector_new(k, p->real, p->w, p->k, 0), z = buffer_new(p->real, rows);
        k->forward_column(rows, 1, p->k, a.b.data, a.stride, w.data, b.data, z.data, 0);
        for (int64_t r = 0; r < p->rows; r++)
            result[r] = get(&z, r);
        buffer_free(&w), buffer_free(&z);
    } else {
        packed w = packed_new(k, p->real, p->k, p->n, p->w);
        k->forward[FBP_ACT_IDENTITY](rows, p->n, p->k, a.b.data, a.stride, w.w.data, b.data,
                                     out.b.data, out.stride);
        panels_read(&out, p->rows, result);
        packed_free(&w);
    }
    buffer_free(&a.b), buffer_free(&out.b), buffer_free(&b);
}

static void oracle(const product *p, filling kind, double *expected, double *tolerance)
{
    const exact u = (exact)unit_roundoff(p->real);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->n; c++) {
            exact sum = (exact)p->b[c], size = fabsl(sum);
            for (int64_t i = 0; i < p->k; i++) {
                const exact term = (exact)p->a[r * p->k + i] * (exact)p->w[i * p->n + c];
                sum += term;
                size += fabsl(term);
            }
            expected[r * p->n + c] = (double)sum;
            tolerance[r * p->n + c] = kind == INTEGERS ? 0 : (double)((exact)(p->k + 4) * u * size);
        }
}

static void test_product(int real, int64_t rows, int64_t n, int64_t k, int column, filling kind)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    const int64_t size = rows * n;
    product p = {real,
                 rows,
                 n,
                 k,
                 matrix_random(real, rows * k, kind),
                 matrix_random(real, k * n, kind),
                 matrix_random(real, n, kind)};
    double *expected = matrix_new(size), *tolerance = matrix_new(size);
    double *result = matrix_new(size), *ref = matrix_new(size), *other = matrix_new(size);
    oracle(&p, kind, expected, tolerance);
    for (int f = 0; f < n_families; f++) {
        snprintf(label, sizeof label, "rows%s %s %s %lld x %lld x %lld", column ? " column" : "",
                 fbp_isa_name(families[f].isa), real_name(real), (long long)rows, (long long)n,
                 (long long)k);
        run_rows(families[f].table, &p, column, f == 0 ? ref : result);
        const double *mine = f == 0 ? ref : result;
        check_close(label, size, mine, expected, tolerance);
        if (families[f].table->fused) check_same(label, size, mine, ref);
        run_packed(families[f].table, &p, column, other);
        CHECK(memcmp(mine, other, sizeof(double) * (size_t)size) == 0, "%s: not as packed", label);
    }
    free(p.a), free(p.w), free(p.b);
    free(expected), free(tolerance), free(result), free(ref), free(other);
}

static void test_activate(int real, int64_t n)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    double *z = matrix_random(real, n, REALS);
    for (int act = 0; act < FBP_N_ACTIVATIONS; act++) {
        double first[200];
        for (int f = 0; f < n_families; f++) {
            buffer b = vector_new(families[f].table, real, z, n, 0.5);
            families[f].table->activate[act](n, b.data);
            int64_t wrong = 0, moved = 0;
            for (int64_t i = 0; i < n; i++) {
                const double expected = (double)exactly(act)->value((exact)z[i]);
                wrong += !(fabs(get(&b, i) - expected) <= 8 * unit_roundoff(real));
                if (f == 0) first[i] = get(&b, i);
                moved += families[f].table->fused && !same_bits(get(&b, i), first[i]);
            }
            CHECK(wrong == 0 && moved == 0, "%s %s %s: %lld wrong, %lld differ from ref",
                  fbp_activation_name(act), fbp_isa_name(families[f].isa), real_name(real),
                  (long long)wrong, (long long)moved);
            buffer_free(&b);
        }
    }
    free(z);
}

/* One value beyond the bound, at each place in turn. */
static void test_within(int real, int64_t n)
{
    const double largest = real == FBP_F32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
    const double bad[] = {INFINITY, -INFINITY, NAN, -NAN, 3.0, -3.0, 100.0};
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    for (int f = 0; f < n_families; f++) {
        const fbp_kernels *k = families[f].table;
        buffer x = buffer_new(real, n);
        for (int64_t i = 0; i < n; i++)
            put(&x, i, i % 2 ? -largest : largest);
        CHECK(k->within(n, x.data, INFINITY), "all are finite");
        CHECK(k->within(n, x.data, largest) == (n == 0), "none is below the largest");
        for (int64_t i = 0; i < n; i++)
            put(&x, i, i % 3 - 1.0);
        int64_t wrong = !k->within(n, x.data, 3.0);
        for (int64_t i = 0; i < n; i++) {
            const double kept = get(&x, i);
            for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
                put(&x, i, bad[j]);
                wrong += k->within(n, x.data, 3.0) != 0;
                wrong += k->within(n, x.data, INFINITY) != (j >= 4);
            }
            put(&x, i, kept);
        }
        CHECK(wrong == 0, "within %s %s %lld: %lld wrong", fbp_isa_name(families[f].isa),
              real_name(real), (long long)n, (long long)wrong);
        buffer_free(&x);
    }
}

/* Sizes about a family's vectors and tiles. */
static void test_products_of(int real)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(real, families);
    for (int f = 0; f < n_families; f++) {
        const int64_t lanes = families[f].table->lanes, mr = families[f].table->mr;
        const int64_t n[] = {1,
                             2,
                             lanes - 1,
                             lanes,
                             lanes + 1,
                             2 * lanes,
                             3 * lanes,
                             4 * lanes - 1,
                             7 * lanes + 1,
                             8 * lanes,
                             8 * lanes + 1,
                             9 * lanes - 1,
                             17 * lanes + 3};
        const int64_t rows[] = {1, 2, mr, 2 * mr + 1};
        for (size_t i = 0; i < sizeof n / sizeof *n; i++)
            for (size_t j = 0; n[i] > 0 && j < sizeof rows / sizeof *rows; j++) {
                test_product(real, rows[j], n[i], 1 + (int64_t)j, 0, REALS);
                test_product(real, rows[j], n[i], 37, 0, j % 2 ? REALS : INTEGERS);
            }
        for (int64_t k = 1; k <= 3 * 16 + 1; k += k < 18 ? 1 : 15)
            test_product(real, mr - 1, 1, k, 1, k % 2 ? REALS : INTEGERS);
    }
    test_product(real, 9, 300, 130, 0, REALS);
}

/* Integers, which must come out exactly, flush against one end of their pages and then the other. */
static void test_integers(int real, int64_t rows, int64_t n, int64_t k)
{
    flush_front = !flush_front;
    test_product(real, rows, n, k, 0, INTEGERS);
    if (n == 1) test_product(real, rows, n, k, 1, INTEGERS);
}

static void test_every_shape(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        for (int64_t rows = 1; rows <= EVERY_SIZE; rows++)
            for (int64_t n = 1; n <= EVERY_SIZE; n++)
                for (int64_t k = 1; k <= EVERY_SIZE; k++)
                    test_integers(real, rows, n, k);
        for (int i = 0; i < N_LARGE; i++)
            test_integers(real, 1 + random_below(33), 34 + random_below(300),
                          34 + random_below(400));
    }
    flush_front = 0;
}

int main(int argc, char **argv)
{
    flush_subnormals();
    if (is_exhaustive(argc, argv)) test_every_shape();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        test_products_of(real);
        for (int64_t size = 1; size < 60; size = 2 * size + 1)
            test_integers(real, size, size + 1, size + 2), test_integers(real, 3, 1, size);
        for (int64_t n = 1; n < 200; n += n < 40 ? 1 : 53)
            test_activate(real, n);
        for (int64_t n = 0; n < 140; n += n < 20 ? 1 : 17)
            test_within(real, n);
    }
    return check_done("rows");
}
