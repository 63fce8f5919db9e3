/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callers may ask for beside the usual: activations instead of predictions, a learning rate per
 * batch, a net for a few rows, counts of steps that nobody trains, more threads than rows.
 *
 * Rests on: training (test_training).
 */
#include "pace.h"
#include "internal.h"
#include "trainer.h"

/* The last hidden layer's outputs, times the last layer, are z of the prediction. */
static void test_hidden(int real, int64_t hidden)
{
    problem p = usual_problem(FBP_LOSS_POISSON, FBP_SOLVER_ADAM);
    p.real = real, p.units[1] = hidden, p.units[2] = 2;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_matrix x = data_of(&p, &s).x;
    double *a = new_doubles(p.n_rows * hidden), *z = new_doubles(p.n_rows * 2);
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        if (!fbp_isa_available(isa)) continue;
        fbp_net *net = net_of(&t, isa, 2, 0);
        CHECK(fbp_predict(net, &x, FBP_PREDICT_HIDDEN, NULL, NULL, FBP_F64, a) == FBP_OK, "hidden");
        CHECK(fbp_predict(net, &x, FBP_PREDICT_RAW, NULL, NULL, FBP_F64, z) == FBP_OK, "raw");
        double worst = 0;
        for (int64_t r = 0; r < p.n_rows; r++)
            for (int64_t c = 0; c < 2; c++) {
                double sum = t.b[1][c], size = fabs(sum);
                for (int64_t j = 0; j < hidden; j++) {
                    sum += a[r * hidden + j] * t.w[1][j * 2 + c];
                    size += fabs(a[r * hidden + j] * t.w[1][j * 2 + c]);
                }
                worst = fmax(worst, fabs(sum - z[r * 2 + c]) / size);
            }
        const double limit = ((double)hidden + 2) * unit_roundoff(real);
        CHECK(worst <= limit, "%s %s, %lld units: %g", fbp_isa_name(isa), real_name(real),
              (long long)hidden, worst);
        fbp_net_destroy(net);
    }
    p.n_layers = 1, p.units[1] = 2;
    fbp_net *flat = net_of(&t, FBP_ISA_REF, 1, 0);
    CHECK(fbp_predict(flat, &x, FBP_PREDICT_HIDDEN, NULL, NULL, FBP_F64, z) == FBP_EINVAL,
          "nothing is hidden");
    fbp_net_destroy(flat);
    p.n_layers = 2, p.units[1] = hidden;
    free(a), free(z);
    samples_free(&s);
    trainer_free(&t);
}

/* A rate per batch in one call: what calls with a rate each learn. */
static void test_learning_rates(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    void *at_once = allocate(bytes), *one_by_one = allocate(bytes);
    const double rates[] = {0.5, 0.01, 0.002, 0.1};
    fbp_progress progress;
    fbp_step step = usual;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 2, 30);
    step.learning_rates = rates;
    CHECK(fbp_train(net, &data, NULL, 100, 30, &step, &progress) == FBP_OK, "at once");
    net_parameters(&p, net, at_once);
    fbp_net_destroy(net);
    net = net_of(&t, FBP_ISA_REF, 2, 30);
    step.learning_rates = NULL;
    for (int64_t first = 0; first < 100; first += 30) {
        int64_t order[30];
        for (int64_t i = 0; i < 30; i++)
            order[i] = first + i;
        step.learning_rate = rates[first / 30];
        CHECK(fbp_train(net, &data, order, first < 90 ? 30 : 10, 30, &step, &progress) == FBP_OK,
              "one batch");
    }
    net_parameters(&p, net, one_by_one);
    CHECK(memcmp(at_once, one_by_one, bytes) == 0, "rates of batches");
    fbp_net_destroy(net);
    free(at_once), free(one_by_one);
    samples_free(&s);
    trainer_free(&t);
}

/* A net that is told of its few rows takes less memory, and gives the same bits. */
static void test_predict_rows(void)
{
    const int64_t units[] = {300, 200, 3};
    const int32_t activations[] = {FBP_ACT_TANH};
    fbp_spec spec = {.n_layers = 2,
                     .units = units,
                     .activations = activations,
                     .real = FBP_F64,
                     .isa = FBP_ISA_REF,
                     .n_threads = 1};
    double *w[2] = {new_doubles(300 * 200), new_doubles(600)}, b[200] = {1, 2, 3};
    double *x = new_doubles(300 * 500), *out[2] = {new_doubles(1500), new_doubles(1500)};
    for (int64_t i = 0; i < 300 * 200; i++)
        w[0][i] = random_between(-0.1, 0.1), w[1][i % 600] = random_between(-1, 1);
    for (int64_t i = 0; i < 300 * 500; i++)
        x[i] = random_between(-1, 1);
    const fbp_matrix m = {.n_rows = 500, .n_cols = 300, .real = FBP_F64, .data = x, .ld = 300};
    size_t bytes[4];
    const int64_t rows[] = {0, 1, 7, 1000};
    for (int i = 0; i < 4; i++) {
        fbp_net *net = NULL;
        spec.predict_rows = rows[i];
        CHECK(fbp_net_create(&spec, &net) == FBP_OK, "a net for %lld rows", (long long)rows[i]);
        for (int l = 0; l < 2; l++)
            fbp_net_set_layer(net, l, w[l], b);
        CHECK(fbp_predict(net, &m, 0, NULL, NULL, FBP_F64, out[i > 0]) == FBP_OK, "predict");
        CHECK(memcmp(out[0], out[1], sizeof(double) * 1500) == 0 || i == 0, "%lld rows: other bits",
              (long long)rows[i]);
        bytes[i] = net->bytes;
        fbp_net_destroy(net);
    }
    CHECK(bytes[1] <= bytes[2] && bytes[2] < bytes[0] && bytes[3] == bytes[0], "memory");
    free(w[0]), free(w[1]), free(x), free(out[0]), free(out[1]);
}

/* Adam's powers: by as many multiplications as steps; beyond what anybody trains, sooner. */
static void test_step_counts(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 10);
    double power = 1;
    for (int i = 0; i < 1000; i++)
        power *= 0.999;
    CHECK(fbp_net_set_step_count(net, 1000, 0.5, 0.999) == FBP_OK, "1000 steps");
    CHECK(net->beta_2_power == power && net->beta_1_power == ldexp(1, -1000), "powers");
    CHECK(fbp_net_set_step_count(net, 5, 0, 1) == FBP_OK, "betas of 0 and 1");
    CHECK(net->beta_1_power == 0 && net->beta_2_power == 1, "powers of 0 and 1");
    const int64_t most[] = {100000001, 100000002, FBP_MAX_STEP_COUNT};
    for (int i = 0; i < 3; i++) {
        const double beta = 1 - 0x1p-40, truth = exp((double)most[i] * log1p(-0x1p-40));
        CHECK(fbp_net_set_step_count(net, most[i], beta, 0.9) == FBP_OK, "many steps");
        CHECK(fabs(net->beta_1_power - truth) <= 1e-6 * truth && net->beta_2_power == 0,
              "%lld steps: %.17g, expected %.17g", (long long)most[i], net->beta_1_power, truth);
        CHECK(fbp_net_get_step_count(net) == most[i], "count");
    }
    fbp_net_destroy(net);
    trainer_free(&t);
}

/* dL/dX of fewer rows than threads, and of many: the same for any number of threads. */
static void test_delta_of_few_rows(void)
{
    for (int64_t rows = 1; rows <= 5; rows += 2) {
        problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_GRADIENT);
        p.n_rows = rows;
        trainer t = trainer_new(&p);
        samples s = samples_new(&p);
        const fbp_data data = data_of(&p, &s);
        double *grad = new_doubles(n_parameters(&p)), loss;
        double delta[2][5 * 40];
        for (int many = 0; many < 2; many++) {
            fbp_net *net = net_of(&t, FBP_ISA_REF, many ? 8 : 1, rows);
            CHECK(fbp_loss_gradient(net, &data, &usual, &loss, grad, delta[many]) == FBP_OK,
                  "gradient of %lld rows", (long long)rows);
            fbp_net_destroy(net);
        }
        CHECK(memcmp(delta[0], delta[1], sizeof(double) * 40 * (size_t)rows) == 0,
              "%lld rows by 8 threads", (long long)rows);
        free(grad);
        samples_free(&s);
        trainer_free(&t);
    }
}

/* So much to predict that the threads asked for are used without being held to it. */
static void test_threads_for_much(void)
{
    const int64_t units[] = {400, 400, 3};
    const int32_t activations[] = {FBP_ACT_RELU};
    const fbp_spec spec = {.n_layers = 2,
                           .units = units,
                           .activations = activations,
                           .isa = fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST),
                           .n_threads = 2};
    fbp_net *net = NULL;
    float *x = allocate(sizeof(float) * 400 * 400), *out = allocate(sizeof(float) * 3 * 400);
    const fbp_matrix m = {.n_rows = 400, .n_cols = 400, .real = FBP_F32, .data = x, .ld = 400};
    float b[400];
    for (int i = 0; i < 400; i++)
        b[i] = (float)i;
    CHECK(fbp_net_create(&spec, &net) == FBP_OK, "a net");
    for (int l = 0; l < 2; l++)
        CHECK(fbp_net_set_layer(net, l, x, b) == FBP_OK, "set_layer");
    CHECK(fbp_predict(net, &m, 0, NULL, NULL, FBP_F32, out) == FBP_OK, "predict");
    for (int i = 0; i < 1200; i++)
        CHECK(out[i] == (float)(i % 3), "row %d of zeros", i / 3);
    fbp_net_destroy(net);
    free(x), free(out);
}

/* Nothing is tried as long as nothing is known of the best. */
static void test_pace_without_reports(void)
{
    fbp_pace pace = {0};
    const int first = fbp_pace_threads(&pace, 8, 1e9);
    for (int i = 0; i < 100; i++)
        CHECK(fbp_pace_threads(&pace, 8, 1e9) == first, "a trial out of nothing");
}

int main(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        test_hidden(real, 1);
        test_hidden(real, 7);
        test_hidden(real, 70);
    }
    test_learning_rates();
    test_predict_rows();
    test_step_counts();
    test_delta_of_few_rows();
    test_threads_for_much();
    test_pace_without_reports();
    return check_done("requests");
}
