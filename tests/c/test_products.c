/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two products of the rows phase, in both forms (panels, one column), for every family, against
 * an oracle in long double, and bitwise against ref where the family is fused. The bound is
 * componentwise:
 *
 *     |out − exact| ≤ (k + c) · u · (|A| · |B| + |b|), u = 2⁻²⁴ or 2⁻⁵³
 *
 * Integers must come out exactly. Rests on: pack (test_layouts), tanh and logistic (test_math).
 */
#include "kernels.h"

typedef struct {
    int64_t rows, n, k; /* of the result [rows × n]; k is summed over */
    int real, activation, column;
    filling kind;
} problem;

static char label[200];

static void describe(const char *product, const problem *p, int isa)
{
    snprintf(label, sizeof label, "%s%s %s %s %s %lld x %lld x %lld", product,
             p->column ? " column" : "", fbp_isa_name(isa), real_name(p->real),
             fbp_activation_name(p->activation), (long long)p->rows, (long long)p->n,
             (long long)p->k);
}

/* act' from what backward is given: a, or act' itself where it is no function of a. */
static exact slope_from(int activation, exact a)
{
    const exact_activation *act = exactly(activation);
    return act->slope_from ? act->slope_from(a) : a;
}

/* The exact result and what rounding may do to it; b and a may be NULL. */
static void oracle(const problem *p, const double *left, const double *right,
                   int right_is_transposed, const double *b, const double *a, double *expected,
                   double *tolerance)
{
    const exact u = (exact)unit_roundoff(p->real);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->n; c++) {
            const int64_t at = r * p->n + c;
            exact sum = b ? (exact)b[c] : 0, size = fabsl(sum), value;
            exact slope =
                p->activation == FBP_ACT_IDENTITY ? 1 : 2; /* that of no activation passes */
            for (int64_t k = 0; k < p->k; k++) {
                const double w = right_is_transposed ? right[c * p->k + k] : right[k * p->n + c];
                const exact term = (exact)left[r * p->k + k] * (exact)w;
                sum += term;
                size += fabsl(term);
            }
            if (a) {
                slope = slope_from(p->activation, (exact)a[at]);
                value = sum * slope;
            } else {
                value = exactly(p->activation)->value(sum);
            }
            expected[at] = (double)value;
            tolerance[at] = (double)((exact)(p->k + 4) * u * size * fabsl(slope) +
                                     8 * u * fabsl(value) + (a ? 4 * u * fabsl(sum) : 0));
            if (p->kind == INTEGERS && p->activation == FBP_ACT_IDENTITY) tolerance[at] = 0;
        }
}

/* An activation's outputs, for the derivative; or derivatives. */
static double *activations_of(const problem *p)
{
    const exact_activation *act = exactly(p->activation);
    double *a = matrix_random(p->real, p->rows * p->n, REALS);
    for (int64_t i = 0; i < p->rows * p->n; i++)
        a[i] =
            rounded(p->real, (double)(act->slope_from ? act->value : act->slope)(3 * (exact)a[i]));
    return a;
}

static void run_forward(const family *f, const problem *p, const double *a, const double *w,
                        const double *b, double *result)
{
    const fbp_kernels *k = f->table;
    const int64_t rows = fbp_round_up(p->rows, k->mr);
    panels in = panels_new(k, p->real, rows, p->k);
    panels_fill(&in, a, p->rows, NAN); /* nobody may read what pads the columns */
    buffer bias = vector_new(k, p->real, b, p->n, NAN);
    if (p->column) {
        buffer column = vector_new(k, p->real, w, p->k, 0), out = buffer_new(p->real, rows);
        k->forward_column(rows, 1, p->k, in.b.data, in.stride, column.data, bias.data, out.data, 0);
        for (int64_t r = 0; r < p->rows; r++)
            result[r] = get(&out, r);
        buffer_free(&column);
        buffer_free(&out);
    } else {
        packed weights = packed_new(k, p->real, p->k, p->n, w);
        panels out = panels_new(k, p->real, rows, p->n);
        k->forward[p->activation](rows, p->n, p->k, in.b.data, in.stride, weights.w.data, bias.data,
                                  out.b.data, out.stride);
        panels_read(&out, p->rows, result);
        packed_free(&weights);
        buffer_free(&out.b);
    }
    buffer_free(&bias);
    buffer_free(&in.b);
}

static void run_backward(const family *f, const problem *p, const double *delta, const double *w,
                         const double *a, double *result)
{
    const fbp_kernels *k = f->table;
    const int64_t rows = fbp_round_up(p->rows, k->mr);
    panels in = panels_new(k, p->real, rows, p->n), out = panels_new(k, p->real, rows, p->n);
    panels_fill(&in, a, p->rows, NAN);
    out.stride = in.stride;
    if (p->column) {
        buffer column = vector_new(k, p->real, w, p->n, 0), d = buffer_new(p->real, rows);
        for (int64_t r = 0; r < p->rows; r++)
            put(&d, r, delta[r]);
        k->backward_column[p->activation](rows, p->n, 1, d.data, 0, column.data, in.b.data,
                                          in.stride, out.b.data);
        buffer_free(&column);
        buffer_free(&d);
    } else {
        packed weights = packed_new(k, p->real, p->n, p->k, w);
        panels d = panels_new(k, p->real, rows, p->k);
        panels_fill(&d, delta, p->rows, NAN);
        k->backward[p->activation](rows, p->n, p->k, d.b.data, d.stride, weights.wt.data, in.b.data,
                                   in.stride, out.b.data);
        packed_free(&weights);
        buffer_free(&d.b);
    }
    panels_read(&out, p->rows, result);
    buffer_free(&in.b);
    buffer_free(&out.b);
}

/* One product in every family. The backward one is told by its activations a. */
static void test_product(const problem *p, int backward)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(p->real, families);
    const int64_t size = p->rows * p->n;
    double *left = matrix_random(p->real, p->rows * p->k, p->kind);
    double *right = matrix_random(p->real, p->k * p->n, p->kind);
    double *b = backward ? NULL : matrix_random(p->real, p->n, p->kind);
    double *a = backward ? activations_of(p) : NULL;
    double *expected = matrix_new(size), *tolerance = matrix_new(size);
    double *result = matrix_new(size), *ref = matrix_new(size);

    oracle(p, left, right, backward, b, a, expected, tolerance);
    for (int f = 0; f < n_families; f++) {
        describe(backward ? "backward" : "forward", p, families[f].isa);
        double *out = f == 0 ? ref : result;
        if (backward)
            run_backward(&families[f], p, left, right, a, out);
        else
            run_forward(&families[f], p, left, right, b, out);
        check_close(label, size, out, expected, tolerance);
        if (families[f].table->fused) check_same(label, size, out, ref);
    }
    free(left), free(right), free(b), free(a);
    free(expected), free(tolerance), free(result), free(ref);
}

/* Both products, both fillings, at one shape; with fewer cases, the activations beside the identity
 * take turns. */
static void test_shape(int real, int64_t rows, int64_t n, int64_t k)
{
    static int n_shapes;
    const int turn = 1 + n_shapes++ % (FBP_N_ACTIVATIONS - 1);
    for (int activation = 0; activation < FBP_N_ACTIVATIONS; activation++)
        for (int kind = REALS; kind <= INTEGERS; kind++) {
            if (activation != FBP_ACT_IDENTITY &&
                (kind == INTEGERS || (fewer_cases() && activation != turn)))
                continue;
            problem p = {rows, n, k, real, activation, 0, (filling)kind};
            test_product(&p, 0);
            test_product(&p, 1);
            problem forward = {rows, 1, k, real, FBP_ACT_IDENTITY, 1, (filling)kind};
            if (activation == FBP_ACT_IDENTITY && n == 1) test_product(&forward, 0);
            problem backward = {rows, n, 1, real, activation, 1, (filling)kind};
            if (k == 1) test_product(&backward, 1);
        }
}

/* Sizes about a family's panels: one, a vector more or less, a panel more or less, two panels. */
static int sizes_about(const fbp_kernels *k, int64_t out[])
{
    const int64_t lanes = k->lanes, nr = k->nr;
    const int64_t sizes[] = {1, 2, lanes - 1, lanes + 1, nr - 1, nr, nr + 1, 2 * nr + lanes + 1};
    int n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] > (n > 0 ? out[n - 1] : 0)) out[n++] = sizes[i];
    return n;
}

/* Integers, which must come out exactly, flush against either end of their pages. */
static void test_integers(int real, int64_t rows, int64_t n, int64_t k)
{
    for (flush_front = 0; flush_front <= 1; flush_front++)
        for (int backward = 0; backward <= 1; backward++) {
            const problem p = {rows, n, k, real, FBP_ACT_IDENTITY, 0, INTEGERS};
            problem column = p;
            test_product(&p, backward);
            column.column = 1;
            if (backward ? k == 1 : n == 1) test_product(&column, backward);
        }
    flush_front = 0;
}

static void test_every_shape(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        for (int64_t rows = 1; rows <= EVERY_SIZE; rows++)
            for (int64_t n = 1; n <= EVERY_SIZE; n++)
                for (int64_t k = 1; k <= EVERY_SIZE; k++)
                    test_integers(real, rows, n, k);
        for (int i = 0; i < N_LARGE; i++)
            test_integers(real, 34 + random_below(70), 34 + random_below(200),
                          34 + random_below(400));
    }
}

int main(int argc, char **argv)
{
    flush_subnormals();
    if (is_exhaustive(argc, argv)) test_every_shape();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int f = 0; f < n_families; f++) {
            int64_t sizes[8];
            const int n_sizes = sizes_about(families[f].table, sizes);
            const int mr = families[f].table->mr;
            for (int i = 0; i < n_sizes; i++)
                for (int j = 0; j < n_sizes; j++)
                    test_shape(real, i % 2 ? 2 * mr + 1 : mr - (j % 2), sizes[i], sizes[j]);
        }
        test_shape(real, 1, 1, 1);
        for (int64_t size = 2; size < 60; size = 2 * size + 1)
            test_integers(real, size, size + 1, size + 2), test_integers(real, size, 1, 3),
                test_integers(real, 3, size, 1);
        test_shape(real, 33, 200, 513);
        test_shape(real, 100, 1, 2100);
        test_shape(real, 65, 300, 1);
        for (int64_t k = 144; k <= 288; k += 144) { /* about AVX-512's blocks of k */
            test_shape(real, 17, 97, k);
            test_shape(real, 9, 50, k + 1);
        }
    }
    return check_done("products");
}
