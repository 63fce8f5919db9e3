/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prediction without a net: the kernels that read W where the user has it, in every family, against
 * an oracle in long double, bitwise against ref and against the packed kernels; the test of all values
 * against a bound; and fbp_predict_rows against fbp_predict, bit for bit. Buffers end at protected
 * pages. Rests on: the packed products (test_products), fbp_predict (test_training).
 */
#include "kernels.h"

static char label[200];

static buffer buffer_of(int real, const double *values, int64_t n)
{
    buffer b = buffer_new(real, n);
    for (int64_t i = 0; i < n; i++)
        put(&b, i, values[i]);
    return b;
}

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
                const double expected = (double)exact_activation(act, (exact)z[i]);
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

/* Whole models */

typedef struct {
    int64_t units[5];
    int32_t activations[3];
    buffer w[4], b[4], x;
    const void *coefs[4], *intercepts[4];
    fbp_model model;
    fbp_matrix rows;
} subject;

/* x_real is the type of the samples; their rows lie two elements apart. */
static void subject_new(subject *s, int isa, int real, int x_real, int n_layers,
                        const int64_t *units, int activation, int loss, int64_t n_rows)
{
    memcpy(s->units, units, sizeof(int64_t) * (size_t)(n_layers + 1));
    for (int l = 0; l < n_layers; l++) {
        double *w = matrix_random(real, units[l] * units[l + 1], REALS);
        double *b = matrix_random(real, units[l + 1], REALS);
        s->w[l] = buffer_of(real, w, units[l] * units[l + 1]);
        s->b[l] = buffer_of(real, b, units[l + 1]);
        s->coefs[l] = s->w[l].data, s->intercepts[l] = s->b[l].data;
        if (l + 1 < n_layers) s->activations[l] = activation;
        free(w), free(b);
    }
    const int64_t ld = units[0] + 2;
    s->x = buffer_new(x_real, (n_rows - 1) * ld + units[0]);
    for (int64_t i = 0; i < n_rows * units[0]; i++)
        put(&s->x, i / units[0] * ld + i % units[0], random_between(-1, 1));
    s->rows = (fbp_matrix){
        .n_rows = n_rows, .n_cols = units[0], .real = x_real, .data = s->x.data, .ld = ld};
    s->model = (fbp_model){.spec = {.n_layers = n_layers,
                                    .units = s->units,
                                    .activations = s->activations,
                                    .loss = loss,
                                    .solver = FBP_SOLVER_GRADIENT,
                                    .real = real,
                                    .isa = isa,
                                    .n_threads = 1},
                           .coefs = s->coefs,
                           .intercepts = s->intercepts};
}

static void subject_free(subject *s)
{
    for (int l = 0; l < s->model.spec.n_layers; l++)
        buffer_free(&s->w[l]), buffer_free(&s->b[l]);
    buffer_free(&s->x);
}

static fbp_status predict_packed(const subject *s, int flags, int out_real, void *out)
{
    fbp_net *net = NULL;
    CHECK(fbp_net_create(&s->model.spec, &net) == FBP_OK, "a net");
    for (int l = 0; l < s->model.spec.n_layers; l++)
        fbp_net_set_layer(net, l, s->coefs[l], s->intercepts[l]);
    const fbp_status status = fbp_predict(net, &s->rows, flags, NULL, NULL, out_real, out);
    fbp_net_destroy(net);
    return status;
}

static fbp_status predict_in_place(const subject *s, int flags, int out_real, void *out)
{
    buffer scratch = buffer_of_bytes(fbp_predict_rows_bytes(&s->model));
    const fbp_status status =
        fbp_predict_rows(&s->model, &s->rows, flags, scratch.data, out_real, out);
    buffer_free(&scratch);
    return status;
}

static void test_model(int n_layers, const int64_t *units, int activation, int loss)
{
    for (int choice = 0; choice < 8; choice++) {
        const int real = choice & 1, x_real = choice >> 1 & 1, out_real = choice >> 2 & 1;
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int f = 0; f < n_families; f++) {
            const int64_t n_rows = 2 * families[f].table->mr + 3, n = n_rows * units[n_layers];
            subject s;
            subject_new(&s, families[f].isa, real, x_real, n_layers, units, activation, loss,
                        n_rows);
            for (int flags = 0; flags <= FBP_PREDICT_RAW; flags++) {
                buffer out = buffer_new(out_real, n), by_net = buffer_new(out_real, n);
                CHECK(predict_in_place(&s, flags, out_real, out.data) == FBP_OK, "in place");
                CHECK(predict_packed(&s, flags, out_real, by_net.data) == FBP_OK, "packed");
                CHECK(memcmp(out.data, by_net.data, (size_t)n * real_bytes(out_real)) == 0,
                      "%s %s %s, %d layers, %d: not as with a net", fbp_isa_name(families[f].isa),
                      real_name(real), fbp_loss_name(loss), n_layers, choice);
                CHECK((flags == 0 || get(&out, 0) != 0) && !isnan(get(&out, n - 1)), "not written");
                buffer_free(&out), buffer_free(&by_net);
            }
            subject_free(&s);
        }
    }
}

/* What is not finite is found wherever it is, by both ways; what float cannot hold, too. */
static void test_refusals(int real, int x_real)
{
    const int64_t units[] = {5, 4, 3};
    const int narrowed = x_real == FBP_F64 && real == FBP_F32;
    subject s;
    subject_new(&s, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), real, x_real, 2, units,
                FBP_ACT_RELU, FBP_LOSS_LOG_LOSS, 30);
    buffer out = buffer_new(FBP_F64, 90);
    CHECK(fbp_model_check(&s.model) == FBP_OK, "a sound model");
    buffer *arrays[] = {&s.w[0], &s.w[1], &s.b[0], &s.b[1], &s.x};
    for (int i = 0; i < 5; i++)
        for (int64_t at = 0; at < arrays[i]->n; at += fbp_max(1, arrays[i]->n - 1)) {
            const double kept = get(arrays[i], at), bad[] = {NAN, INFINITY, -INFINITY};
            for (int j = 0; j < 3; j++) {
                put(arrays[i], at, bad[j]);
                CHECK(predict_in_place(&s, 0, FBP_F64, out.data) == FBP_ENONFINITE, "in place");
                if (i == 4)
                    CHECK(predict_packed(&s, FBP_PREDICT_STRICT, FBP_F64, out.data) ==
                              FBP_ENONFINITE,
                          "packed");
                else
                    CHECK(fbp_model_check(&s.model) == FBP_ENONFINITE, "model");
            }
            put(arrays[i], at, kept);
        }
    put(&s.x, 7, NAN); /* the last but one of the gap after row 0 is 6: 7 is row 1 */
    CHECK(predict_packed(&s, 0, FBP_F64, out.data) == FBP_OK, "not strict");
    put(&s.x, 7, 0x1.fffffep127);
    CHECK(predict_packed(&s, FBP_PREDICT_STRICT, FBP_F64, out.data) == FBP_OK, "largest float");
    if (x_real == FBP_F64) {
        put(&s.x, 7, 0x1.fffffe0000001p127);
        const fbp_status expected = narrowed ? FBP_ENONFINITE : FBP_OK;
        CHECK(predict_packed(&s, FBP_PREDICT_STRICT, FBP_F64, out.data) == expected, "beyond");
        CHECK(predict_in_place(&s, 0, FBP_F64, out.data) == expected, "beyond, in place");
    }
    buffer_free(&out);
    subject_free(&s);
}

static void test_statuses(void)
{
    const int64_t units[] = {5, 4, 3}, zero[] = {5, 0, 3};
    const int64_t huge[] = {5, INT64_C(1) << 50, 3};
    char scratch[1 << 16];
    double out[90];
    subject s;
    subject_new(&s, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), FBP_F32, FBP_F32, 2, units,
                FBP_ACT_RELU, FBP_LOSS_LOG_LOSS, 3);
    CHECK(fbp_predict_rows_bytes(&s.model) <= sizeof scratch, "scratch");
#define STATUS(expected, what, ...)                                                          \
    do {                                                                                     \
        fbp_model m = s.model;                                                               \
        fbp_matrix x = s.rows;                                                               \
        void *place = scratch, *into = out;                                                  \
        int out_real = FBP_F64;                                                              \
        __VA_ARGS__;                                                                         \
        CHECK(fbp_predict_rows(&m, &x, 0, place, out_real, into) == (expected), "%s", what); \
    } while (0)
    STATUS(FBP_OK, "sound", (void)0);
    STATUS(FBP_EINVAL, "units", m.spec.units = zero);
    STATUS(FBP_EINVAL, "coefs", m.coefs = NULL);
    STATUS(FBP_EINVAL, "intercepts", m.intercepts = NULL);
    STATUS(FBP_ENOMEM, "too large", m.spec.units = huge);
    STATUS(FBP_EISA, "family", m.spec.isa = FBP_N_ISAS);
    STATUS(FBP_EINVAL, "columns", x.n_cols = 4);
    STATUS(FBP_EINVAL, "CSR", x.index_bits = 32;
           x.indices = x.indptr = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    STATUS(FBP_EINVAL, "scratch", place = NULL);
    STATUS(FBP_EINVAL, "out", into = NULL);
    STATUS(FBP_EINVAL, "type of out", out_real = 2);
    STATUS(FBP_OK, "no rows", x.n_rows = 0; into = NULL);
    fbp_model bad = s.model;
    bad.spec.units = zero;
    CHECK(fbp_predict_rows_bytes(&bad) == 0 && fbp_predict_rows_bytes(NULL) == 0, "no bytes");
    CHECK(fbp_model_check(&bad) == FBP_EINVAL && fbp_model_check(NULL) == FBP_EINVAL, "check");
    subject_free(&s);
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

int main(void)
{
    const int64_t shapes[][4] = {{1, 1}, {20, 100, 3}, {9, 17, 33, 5}, {64, 31, 49, 1}};
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        test_products_of(real);
        for (int64_t n = 1; n < 200; n += n < 40 ? 1 : 53)
            test_activate(real, n);
        for (int64_t n = 0; n < 140; n += n < 20 ? 1 : 17)
            test_within(real, n);
        for (int x_real = FBP_F32; x_real <= FBP_F64; x_real++)
            test_refusals(real, x_real);
    }
    for (int i = 0; i < 4; i++)
        for (int loss = 0; loss < FBP_N_LOSSES; loss++)
            for (int act = 0; act < FBP_N_ACTIVATIONS; act++)
                if (!fbp_loss_takes_codes(loss) || (i > 0 && i < 3))
                    test_model(i == 0 ? 1 : i == 1 ? 2 : 3, shapes[i], act, loss);
    test_statuses();
    return check_done("rows");
}
