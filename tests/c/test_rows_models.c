/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prediction without a net: fbp_predict_rows against fbp_predict, bit for bit, in every family; double
 * from float; what both refuse; statuses. Buffers end at protected pages. Rests on: the kernels that read W where the
 * user has it (test_rows), fbp_predict (test_training).
 */
#include "kernels.h"

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

/* Predictions in double of a net in float: the link in double of its z. */
static void test_wide(const int64_t *units, int loss)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(FBP_F32, families);
    for (int f = 0; f < n_families; f++) {
        const fbp_kernels *wide = fbp_kernels_find(families[f].isa, FBP_F64);
        const int64_t n_rows = 3 * families[f].table->mr + 1, n_out = units[2], n = n_rows * n_out;
        subject s;
        subject_new(&s, families[f].isa, FBP_F32, FBP_F32, 2, units, FBP_ACT_TANH, loss, n_rows);
        buffer out = buffer_new(FBP_F64, n), by_net = buffer_new(FBP_F64, n);
        buffer raw = buffer_new(FBP_F64, n),
               row = buffer_new(FBP_F64, fbp_round_up(n_out, wide->nr));
        CHECK(predict_in_place(&s, 0, FBP_F64, out.data) == FBP_OK, "in place");
        CHECK(predict_packed(&s, 0, FBP_F64, by_net.data) == FBP_OK, "packed");
        CHECK(predict_in_place(&s, FBP_PREDICT_RAW, FBP_F64, raw.data) == FBP_OK, "raw");
        for (int64_t r = 0; r < n_rows; r++) {
            for (int64_t c = 0; c < n_out; c++) {
                put(&row, c, get(&raw, r * n_out + c));
                CHECK((float)get(&row, c) == get(&row, c), "z is not float's");
            }
            wide->link[loss](1, n_out, row.data, wide->nr);
            for (int64_t c = 0; c < n_out; c++)
                CHECK(get(&out, r * n_out + c) == get(&row, c) &&
                          get(&by_net, r * n_out + c) == get(&row, c),
                      "%s %s: %g of row %d is not the link's %g", fbp_isa_name(families[f].isa),
                      fbp_loss_name(loss), get(&out, r * n_out + c), (int)r, get(&row, c));
        }
        buffer_free(&out), buffer_free(&by_net), buffer_free(&raw), buffer_free(&row);
        subject_free(&s);
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

/* The same for one output, whose weights are a vector. */
static void test_refusals_of_a_column(int real)
{
    const int64_t units[] = {50, 1};
    subject s;
    subject_new(&s, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), real, real, 1, units,
                FBP_ACT_RELU, FBP_LOSS_SQUARED_ERROR, 3);
    buffer out = buffer_new(FBP_F64, 3);
    CHECK(predict_in_place(&s, 0, FBP_F64, out.data) == FBP_OK, "a sound column");
    for (int64_t at = 0; at < 50; at += 49) {
        const double kept = get(&s.w[0], at);
        put(&s.w[0], at, at ? NAN : INFINITY);
        CHECK(predict_in_place(&s, 0, FBP_F64, out.data) == FBP_ENONFINITE, "weight %d", (int)at);
        put(&s.w[0], at, kept);
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
    CHECK(fbp_predict_rows(&s.model, NULL, 0, scratch, FBP_F64, out) == FBP_EINVAL, "no rows");
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

int main(void)
{
    const int64_t last[][3] = {{20, 30, 3}, {9, 17, 35}, {31, 9, 1}};
    const int64_t shapes[][4] = {{1, 1}, {20, 100, 3}, {9, 17, 33, 5}, {64, 31, 49, 1}};
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++)
        for (int x_real = FBP_F32; x_real <= FBP_F64; x_real++)
            test_refusals(real, x_real);
    test_refusals_of_a_column(FBP_F32);
    test_refusals_of_a_column(FBP_F64);
    const int64_t parts[] = {500, 90, 3}; /* W is read a part at a time */
    test_model(2, parts, FBP_ACT_TANH, FBP_LOSS_SQUARED_ERROR);
    for (int i = 0; i < 4; i++)
        for (int loss = 0; loss < FBP_N_LOSSES; loss++)
            for (int act = 0; act < FBP_N_ACTIVATIONS; act++)
                if (!fbp_loss_takes_codes(loss) || (i > 0 && i < 3))
                    test_model(i == 0 ? 1 : i == 1 ? 2 : 3, shapes[i], act, loss);
    for (int i = 0; i < 3; i++)
        for (int loss = 0; loss < FBP_N_LOSSES; loss++)
            if (!fbp_loss_takes_codes(loss) || i < 2) test_wide(last[i], loss);
    test_statuses();
    return check_done("rows of models");
}
