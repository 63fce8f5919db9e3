/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The public header's word: what each status means, what stays unchanged on failure, parameters and
 * solver state in and out, names.
 */
#include "trainer.h"

/* Creation: one wrong thing at a time. */
static void test_specs(void)
{
    const int64_t units[] = {5, 4, 3}, zero[] = {5, 0, 3}, negative[] = {-5, 4, 3},
                  one[] = {5, 4, 1};
    const int32_t activations[] = {FBP_ACT_TANH}, unknown[] = {FBP_N_ACTIVATIONS}, below[] = {-1};
    const fbp_spec good = {.n_layers = 2,
                           .units = units,
                           .activations = activations,
                           .loss = FBP_LOSS_LOG_LOSS,
                           .solver = FBP_SOLVER_ADAM,
                           .real = FBP_F32,
                           .isa = FBP_ISA_REF,
                           .n_threads = 2,
                           .max_rows = 10};
    fbp_net *net = NULL;
    CHECK(fbp_net_create(&good, &net) == FBP_OK && net, "a good spec");
    fbp_net_destroy(net);
    fbp_net_destroy(NULL);
    fbp_net_ask(NULL, NULL, NULL);

#define BAD(expected, ...)                                                   \
    do {                                                                     \
        fbp_spec bad = good;                                                 \
        __VA_ARGS__;                                                         \
        net = (fbp_net *)&bad; /* must become NULL */                        \
        CHECK(fbp_net_create(&bad, &net) == (expected), "%s", #__VA_ARGS__); \
        CHECK(net == NULL, "%s: a net on failure", #__VA_ARGS__);            \
    } while (0)
    BAD(FBP_EINVAL, bad.n_layers = 0);
    BAD(FBP_EINVAL, bad.n_layers = -1);
    BAD(FBP_EINVAL, bad.units = NULL);
    BAD(FBP_EINVAL, bad.units = zero);
    BAD(FBP_EINVAL, bad.units = negative);
    BAD(FBP_EINVAL, bad.units = one); /* softmax of one output */
    BAD(FBP_EINVAL, bad.activations = NULL);
    BAD(FBP_EINVAL, bad.activations = unknown);
    BAD(FBP_EINVAL, bad.activations = below);
    BAD(FBP_EINVAL, bad.loss = FBP_N_LOSSES);
    BAD(FBP_EINVAL, bad.loss = -1);
    BAD(FBP_EINVAL, bad.solver = FBP_N_SOLVERS);
    BAD(FBP_EINVAL, bad.real = 2);
    BAD(FBP_EINVAL, bad.precision = FBP_N_PRECISIONS);
    BAD(FBP_EINVAL, bad.precision = -1);
    BAD(FBP_EINVAL, bad.n_threads = 0);
    BAD(FBP_EINVAL, bad.max_rows = -1);
    BAD(FBP_EINVAL, bad.predict_rows = -1);
    BAD(FBP_EISA, bad.isa = FBP_N_ISAS);
    BAD(FBP_EISA, bad.isa = -1);
    const double levels[] = {0.5, 0.1, 0.9}, zero_level[] = {0.5, 0.1, 0},
                 one_level[] = {1, 0.1, 0.9};
    const double rounded_up[] = {0.5, 1 - 1e-9, 0.5}, subnormal[] = {1e-40, 0.5, 0.5},
                 unknown_level[] = {0.5, NAN, 0.5}, no_limit[] = {1, INFINITY, 1};
    BAD(FBP_EINVAL, bad.loss_parameters = levels); /* log_loss has none */
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE);
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE, bad.loss_parameters = zero_level);
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE, bad.loss_parameters = one_level);
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE, bad.loss_parameters = rounded_up);
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE, bad.loss_parameters = subnormal);
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE, bad.loss_parameters = unknown_level);
    BAD(FBP_EINVAL, bad.loss = FBP_LOSS_QUANTILE, bad.loss_parameters = no_limit);
    for (int loss = 0; loss < FBP_N_LOSSES; loss++)
        if (fbp_loss_parameter(loss) == FBP_PARAMETER_POSITIVE) {
            BAD(FBP_EINVAL, bad.loss = loss);
            BAD(FBP_EINVAL, bad.loss = loss, bad.loss_parameters = zero_level);
            BAD(FBP_EINVAL, bad.loss = loss, bad.loss_parameters = subnormal);
            BAD(FBP_EINVAL, bad.loss = loss, bad.loss_parameters = unknown_level);
            BAD(FBP_EINVAL, bad.loss = loss, bad.loss_parameters = no_limit);
        }
    fbp_spec quantiles = good;
    quantiles.loss = FBP_LOSS_QUANTILE, quantiles.loss_parameters = levels;
    CHECK(fbp_net_create(&quantiles, &net) == FBP_OK, "levels");
    fbp_net_destroy(net);
    quantiles.loss_parameters = NULL, quantiles.max_rows = 0;
    CHECK(fbp_net_create(&quantiles, &net) == FBP_OK, "none are wanted to predict");
    fbp_net_destroy(net);
    const int64_t most = INT64_MAX, giant[][3] = {{most, 4, 3},
                                                  {5, most, 3},
                                                  {5, 4, most},
                                                  {most, most, most},
                                                  {INT64_C(1) << 32, INT64_C(1) << 32, 3},
                                                  {INT64_C(1) << 61, 2, 3},
                                                  {3, INT64_C(1) << 39, INT64_C(1) << 39}};
    for (size_t i = 0; i < sizeof giant / sizeof *giant; i++) {
        BAD(FBP_ENOMEM, bad.units = giant[i]);
        BAD(FBP_ENOMEM, bad.units = giant[i], bad.max_rows = 0);
    }
    BAD(FBP_ENOMEM, bad.n_threads = INT32_MAX, bad.max_rows = most);
    CHECK(fbp_net_create(NULL, &net) == FBP_EINVAL && fbp_net_create(&good, NULL) == FBP_EINVAL,
          "NULL");
}

/* Everything a call must refuse, with the weights unchanged. */
static void test_data(int loss)
{
    problem p = usual_problem(loss, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data good = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    void *before = allocate(bytes), *after = allocate(bytes);
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 50);
    net_parameters(&p, net, before);
    fbp_progress progress;
    double weights[100], bad_weight;
    int64_t order[] = {0, 5, 99};
    int32_t codes[100];
    int32_t indptr[101], indices[100];
    for (int i = 0; i < 100; i++)
        weights[i] = 1, codes[i] = i % 3, indices[i] = i % 20, indptr[i] = i;
    indptr[100] = 100;
    const fbp_matrix csr = {100, 20, FBP_F64, 32, s.x, 0, indices, indptr};

#define REFUSED(change)                                                                       \
    do {                                                                                      \
        fbp_data bad = good;                                                                  \
        int64_t n_order = 3, batch_rows = 50;                                                 \
        const int64_t *rows = order;                                                          \
        const fbp_step *step = &usual;                                                        \
        fbp_progress *out = &progress;                                                        \
        fbp_net *own = net;                                                                   \
        change;                                                                               \
        CHECK(fbp_train(own, &bad, rows, n_order, batch_rows, step, out) == FBP_EINVAL, "%s", \
              #change);                                                                       \
        net_parameters(&p, net, after);                                                       \
        CHECK(memcmp(before, after, bytes) == 0, "%s: weights changed", #change);             \
    } while (0)
    REFUSED(own = NULL);
    REFUSED(step = NULL);
    REFUSED(out = NULL);
    REFUSED(batch_rows = 0);
    REFUSED(batch_rows = 51);
    REFUSED(n_order = -1);
    REFUSED((rows = NULL, n_order = 101));
    REFUSED(order[1] = -1);
    REFUSED(order[1] = 100);
    order[1] = 5;
    REFUSED(bad.x.n_cols = 19);
    REFUSED(bad.x.ld = 19);
    REFUSED(bad.x.n_rows = -1);
    REFUSED(bad.x.real = 2);
    REFUSED(bad.x.data = NULL);
    REFUSED(bad.y = NULL);
    static const double bad_weights[] = {-1, -1e-300, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        bad_weight = bad_weights[i];
        REFUSED((weights[70] = bad_weight, bad.weights = weights));
    }
    fbp_step smoothed = usual;
    static const double bad_smoothings[] = {-0.1, 1, 1.5, NAN};
    for (size_t i = 0; i < 4; i++)
        REFUSED((smoothed.label_smoothing = bad_smoothings[i], step = &smoothed));
    smoothed.label_smoothing = 0.1;
    if (!loss_smooths(loss)) REFUSED(step = &smoothed);
    if (fbp_loss_takes_codes(loss)) {
        static const int32_t bad_codes[] = {-1, 3, INT32_MAX, INT32_MIN};
        for (size_t i = 0; i < 4; i++)
            REFUSED((codes[99] = bad_codes[i], bad.y = codes));
    }
    REFUSED((bad.x = csr, bad.x.index_bits = 16));
    REFUSED((bad.x = csr, bad.x.indices = NULL));
    REFUSED((bad.x = csr, bad.x.data = NULL));
    REFUSED((bad.x = csr, indices[99] = 20));
    REFUSED((bad.x = csr, indices[99] = -1));
    indices[99] = 0;
    REFUSED((bad.x = csr, indptr[50] = 1000));
    REFUSED((bad.x = csr, indptr[50] = -1));
    indptr[50] = 50;
    REFUSED((bad.x = csr, indptr[0] = -1));
    indptr[0] = 0;
    fbp_data sparse = good;
    sparse.x = csr;
    CHECK(fbp_train(net, &sparse, order, 3, 50, &usual, &progress) == FBP_OK, "good CSR");
    CHECK(fbp_train(net, &good, order, 0, 50, &usual, &progress) == FBP_OK && progress.n_rows == 0,
          "no rows");
    fbp_net_destroy(net);
    free(before), free(after);
    samples_free(&s);
    trainer_free(&t);
}

/* Calls that the net was not made for, and what loss_gradient and predict refuse. */
static void test_other_calls(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_GRADIENT);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    double loss = 7, *grad = new_doubles(n_parameters(&p)), out[300] = {0}, none[100] = {0};
    fbp_progress progress;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 100), *smaller = net_of(&t, FBP_ISA_REF, 1, 99);
    p.solver = FBP_SOLVER_ADAM;
    fbp_net *adam = net_of(&t, FBP_ISA_REF, 1, 100), *predictor = net_of(&t, FBP_ISA_REF, 1, 0);
    CHECK(fbp_train(net, &data, NULL, 100, 50, &usual, &progress) == FBP_EINVAL,
          "train by gradient");
    CHECK(fbp_train(predictor, &data, NULL, 100, 1, &usual, &progress) == FBP_EINVAL, "no batches");
    CHECK(fbp_loss_gradient(adam, &data, &usual, &loss, grad, NULL) == FBP_EINVAL,
          "gradient of adam");
    CHECK(fbp_loss_gradient(smaller, &data, &usual, &loss, grad, NULL) == FBP_EINVAL,
          "too many rows");
    CHECK(fbp_loss_gradient(net, &data, &usual, NULL, grad, NULL) == FBP_EINVAL, "no loss");
    CHECK(fbp_loss_gradient(net, &data, &usual, &loss, NULL, NULL) == FBP_EINVAL, "no gradient");
    fbp_step smoothed = usual;
    smoothed.label_smoothing = 0.1;
    CHECK(fbp_loss_gradient(net, &data, &smoothed, &loss, grad, NULL) == FBP_EINVAL,
          "smoothed reals");
    fbp_data weightless = data;
    weightless.weights = none;
    CHECK(fbp_loss_gradient(net, &weightless, &usual, &loss, grad, NULL) == FBP_EINVAL,
          "no weight");
    for (int i = 0; i < 100; i++)
        none[i] = 1e-310; /* subnormal: zero inside the core */
    CHECK(fbp_loss_gradient(net, &weightless, &usual, &loss, grad, NULL) == FBP_EINVAL,
          "subnormal weights");
    CHECK(loss == 7 && grad[0] == 0, "changed on failure");

    fbp_matrix narrow = data.x;
    narrow.n_cols = 19;
    CHECK(fbp_predict(NULL, &data.x, 0, NULL, NULL, FBP_F64, out) == FBP_EINVAL, "no net");
    CHECK(fbp_predict(net, NULL, 0, NULL, NULL, FBP_F64, out) == FBP_EINVAL, "no x");
    CHECK(fbp_predict(net, &narrow, 0, NULL, NULL, FBP_F64, out) == FBP_EINVAL, "narrow x");
    CHECK(fbp_predict(net, &data.x, 0, NULL, NULL, 2, out) == FBP_EINVAL, "type of out");
    CHECK(fbp_predict(net, &data.x, 0, NULL, NULL, FBP_F64, NULL) == FBP_EINVAL, "no out");
    CHECK(fbp_predict(predictor, &data.x, 0, NULL, NULL, FBP_F64, out) == FBP_OK && out[299] != 0,
          "predict");
    const int64_t below[] = {0, -1}, beyond[] = {0, data.x.n_rows}, last[] = {data.x.n_rows - 1};
    CHECK(fbp_predict_order(predictor, &data.x, below, 2, 0, NULL, NULL, FBP_F64, out) ==
              FBP_EINVAL,
          "a row below the first");
    CHECK(fbp_predict_order(predictor, &data.x, beyond, 2, 0, NULL, NULL, FBP_F64, out) ==
              FBP_EINVAL,
          "a row beyond the last");
    CHECK(fbp_predict_order(predictor, &data.x, NULL, data.x.n_rows + 1, 0, NULL, NULL, FBP_F64,
                            out) == FBP_EINVAL,
          "more rows than there are");
    CHECK(fbp_predict_order(predictor, &data.x, last, 1, FBP_PREDICT_STRICT, NULL, NULL, FBP_F64,
                            out) == FBP_EINVAL,
          "strict in an order");
    CHECK(fbp_predict_order(predictor, &data.x, last, 1, 0, NULL, NULL, FBP_F64, out) == FBP_OK,
          "the last row");
    fbp_data other = data;
    CHECK(fbp_predict_loss(NULL, &data, NULL, 100, NULL, NULL, out) == FBP_EINVAL, "no net");
    CHECK(fbp_predict_loss(net, NULL, NULL, 100, NULL, NULL, out) == FBP_EINVAL, "no data");
    CHECK(fbp_predict_loss(net, &data, NULL, 100, NULL, NULL, NULL) == FBP_EINVAL, "no losses");
    CHECK(fbp_predict_loss(predictor, &data, NULL, 1, NULL, NULL, out) == FBP_EINVAL, "no batches");
    CHECK(fbp_predict_loss(net, &data, NULL, 101, NULL, NULL, out) == FBP_EINVAL,
          "more losses than rows");
    CHECK(fbp_predict_loss(net, &data, beyond, 2, NULL, NULL, out) == FBP_EINVAL, "unknown row");
    other.y = NULL;
    CHECK(fbp_predict_loss(net, &other, NULL, 100, NULL, NULL, out) == FBP_EINVAL, "no y");
    other = data, other.x = narrow;
    CHECK(fbp_predict_loss(net, &other, NULL, 100, NULL, NULL, out) == FBP_EINVAL, "narrow x");
    out[1] = 7;
    CHECK(fbp_predict_loss(adam, &data, last, 1, NULL, NULL, out) == FBP_OK && out[0] > 0 &&
              out[1] == 7,
          "the last row's loss");
    fbp_net_destroy(net), fbp_net_destroy(smaller), fbp_net_destroy(adam),
        fbp_net_destroy(predictor);
    free(grad);
    samples_free(&s);
    trainer_free(&t);
}

/* A float takes some label smoothing below one for one. */
static void test_smoothing(int real)
{
    problem p = usual_problem(FBP_LOSS_LOG_LOSS, FBP_SOLVER_GRADIENT);
    p.real = real;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, p.n_rows);
    void *grad = allocate((size_t)n_parameters(&p) * real_bytes(real));
    fbp_step step = usual;
    double loss = 7;
    step.label_smoothing = 1 - 1e-9;
    CHECK(fbp_loss_gradient(net, &data, &step, &loss, grad, NULL) ==
                  (real == FBP_F32 ? FBP_EINVAL : FBP_OK) &&
              (loss == 7) == (real == FBP_F32),
          "smoothing that %s rounds to one", real_name(real));
    step.label_smoothing = 0.9999999;
    CHECK(fbp_loss_gradient(net, &data, &step, &loss, grad, NULL) == FBP_OK, "smoothing");
    fbp_net_destroy(net);
    free(grad);
    samples_free(&s);
    trainer_free(&t);
}

/* Parameters and moments come out as they went in; ids out of range are refused. */
static void test_state(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), 1, 10);
    double w[800], b[40];
    CHECK(fbp_net_get_layer(net, 0, w, b) == FBP_OK && memcmp(w, t.w[0], sizeof w) == 0 &&
              memcmp(b, t.b[0], sizeof b) == 0,
          "layer 0");
    CHECK(fbp_net_get_moment(net, 0, 1, w, b) == FBP_OK && w[799] == 0 && b[39] == 0,
          "fresh moments");
    CHECK(fbp_net_set_moment(net, 0, 1, t.w[0], t.b[0]) == FBP_OK, "set_moment");
    CHECK(fbp_net_get_moment(net, 0, 1, w, b) == FBP_OK && memcmp(w, t.w[0], sizeof w) == 0 &&
              memcmp(b, t.b[0], sizeof b) == 0,
          "moment 1");
    CHECK(fbp_net_get_moment(net, 0, 0, w, b) == FBP_OK && w[799] == 0, "moment 0 is another");
    static const int layers[] = {-1, 2}, moments[] = {-1, 2};
    for (int i = 0; i < 2; i++) {
        CHECK(fbp_net_set_layer(net, layers[i], w, b) == FBP_EINVAL, "set_layer %d", layers[i]);
        CHECK(fbp_net_get_layer(net, layers[i], w, b) == FBP_EINVAL, "get_layer %d", layers[i]);
        CHECK(fbp_net_set_moment(net, layers[i], 0, w, b) == FBP_EINVAL, "set_moment of a layer");
        CHECK(fbp_net_get_moment(net, layers[i], 0, w, b) == FBP_EINVAL, "get_moment of a layer");
        CHECK(fbp_net_set_moment(net, 0, moments[i], w, b) == FBP_EINVAL, "set_moment");
        CHECK(fbp_net_get_moment(net, 0, moments[i], w, b) == FBP_EINVAL, "get_moment");
    }
    CHECK(fbp_net_set_layer(net, 0, NULL, b) == FBP_EINVAL, "no coef");
    CHECK(fbp_net_get_layer(NULL, 0, w, b) == FBP_EINVAL, "no net");
    CHECK(fbp_net_set_step_count(net, 7, 0.9, 0.999) == FBP_OK && fbp_net_get_step_count(net) == 7,
          "count");
    CHECK(fbp_net_set_step_count(net, -1, 0.9, 0.999) == FBP_EINVAL, "negative count");
    CHECK(fbp_net_set_step_count(net, INT64_MAX, 0.9, 0.999) == FBP_EINVAL, "no room to count on");
    fbp_net_destroy(net);
    trainer_free(&t);
}

static void test_names(void)
{
    CHECK(strcmp(fbp_activation_name(FBP_ACT_RELU), "relu") == 0, "relu");
    CHECK(strcmp(fbp_loss_name(FBP_LOSS_LOG_LOSS), "log_loss") == 0, "log_loss");
    CHECK(strcmp(fbp_loss_link(FBP_LOSS_LOG_LOSS), "softmax") == 0, "softmax");
    CHECK(strcmp(fbp_solver_name(FBP_SOLVER_ADAM), "adam") == 0, "adam");
    CHECK(strcmp(fbp_isa_name(FBP_ISA_REF), "ref") == 0, "ref");
    for (int status = 0; status < FBP_N_STATUSES; status++)
        CHECK(fbp_status_text(status) && *fbp_status_text(status), "text of status %d", status);
    static const int out[] = {-1, 1000};
    for (int i = 0; i < 2; i++)
        CHECK(!fbp_activation_name(out[i]) && !fbp_loss_name(out[i]) && !fbp_loss_link(out[i]) &&
                  !fbp_solver_name(out[i]) && !fbp_isa_name(out[i]) && !fbp_status_text(out[i]) &&
                  !fbp_isa_available(out[i]) && !fbp_solver_n_moments(out[i]) &&
                  !fbp_loss_takes_codes(out[i]) && !fbp_loss_parameter(out[i]),
              "id %d", out[i]);
    CHECK(fbp_solver_n_moments(FBP_SOLVER_ADAM) == 2 && fbp_solver_n_moments(FBP_SOLVER_SGD) == 1,
          "moments");
    CHECK(fbp_isa_available(FBP_ISA_REF) &&
              fbp_isa_available(fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST)),
          "families");
#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(FBP_NO_SIMD)
    CHECK(fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST) != FBP_ISA_REF,
          "every such CPU has a family of its own");
#endif
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        CHECK(fbp_isa_fused(FBP_ISA_REF, real), "ref is what fused means");
        CHECK(!fbp_isa_fused(FBP_ISA_SSE2, real), "sse2 has bits of its own");
        CHECK(!fbp_isa_fused(FBP_N_ISAS, real) && !fbp_isa_fused(-1, real), "unknown families");
    }
}

int main(void)
{
    test_specs();
    test_data(FBP_LOSS_SQUARED_ERROR);
    test_data(FBP_LOSS_LOG_LOSS);
    test_other_calls();
    test_smoothing(FBP_F32);
    test_smoothing(FBP_F64);
    test_state();
    test_names();
    return check_done("api");
}
