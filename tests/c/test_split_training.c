/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Training and prediction with split layers, through the public header: against the naive trainer in
 * double, to the precision asked for; the same bits for any number of threads; a row alone and among
 * others. And what a family does with layers and types that it does not split.
 */
#include "split_model.h"
#include "form.h"
#include "trainer.h"

#define EPOCHS 2

static char label[200];

/* Of a product of operands rounded to 24, 16 and 8 bits, and room for a training of some steps. */
static double tolerance_of(int precision)
{
    static const double tolerances[] = {2e-4, 1e-3, 5e-2};
    return tolerances[precision];
}

static void describe(const problem *p, int isa)
{
    snprintf(label, sizeof label, "%s %s, %s %s, %lld → %lld, %lld rows", fbp_isa_name(isa),
             fbp_precision_name(p->precision), fbp_activation_name(p->activation),
             fbp_solver_name(p->solver), (long long)p->units[0], (long long)p->units[p->n_layers],
             (long long)p->n_rows);
}

static double frobenius_difference(const float *actual, const double *expected, int64_t n)
{
    double squares = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += (actual[i] - expected[i]) * (actual[i] - expected[i]);
        size += expected[i] * expected[i];
    }
    return sqrt(squares / size);
}

/* Weights after some epochs on 1, 2, 3 and 5 threads, beside the naive trainer's. */
static void test_training(const problem *p, int isa, int64_t batch_rows)
{
    describe(p, isa);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n = n_parameters(p);
    const size_t bytes = sizeof(float) * (size_t)n;
    float *first = allocate(bytes), *weights = allocate(bytes), *unsplit = allocate(bytes);
    double *expected = new_doubles(n), first_loss = NAN;
    for (int threads = 0; threads <= 5; threads += threads == 3 ? 2 : 1) {
        /* threads 0: a family that splits nothing, on one */
        const int used = threads ? isa : fbp_isa_best(FBP_F64, p->precision);
        fbp_net *net = net_of(&t, used, threads ? threads : 1, batch_rows);
        fbp_progress progress = {0};
        for (int epoch = 0; net && epoch < EPOCHS; epoch++)
            CHECK(fbp_train(net, &data, NULL, p->n_rows, batch_rows, &p->step, &progress) == FBP_OK,
                  "%s: train", label);
        net_parameters(p, net, threads == 1 ? first : weights);
        fbp_net_destroy(net);
        if (threads == 0) {
            memcpy(unsplit, weights, bytes);
            continue;
        }
        if (threads == 1) first_loss = progress.loss_sum;
        CHECK(threads == 1 || memcmp(first, weights, bytes) == 0,
              "%s: %d threads give other weights", label, threads);
        CHECK(same_bits(progress.loss_sum, first_loss), "%s: %d threads give another loss", label,
              threads);
    }
    CHECK(memcmp(first, unsplit, bytes) != 0, "%s: nothing was split", label);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int64_t row = 0; row < p->n_rows; row += batch_rows) {
            int64_t *order = allocate(sizeof(int64_t) * (size_t)batch_rows), rows = 0;
            for (; rows < batch_rows && row + rows < p->n_rows; rows++)
                order[rows] = row + rows;
            trainer_batch(&t, &s, order, rows);
            free(order);
        }
    trainer_flatten(p, t.w, t.b, expected);
    const double difference = frobenius_difference(first, expected, n);
    CHECK(difference <= tolerance_of(p->precision), "%s: weights differ by %g", label, difference);
    free(first), free(weights), free(unsplit), free(expected);
    samples_free(&s);
    trainer_free(&t);
}

/* Few rows on many threads, which then share each layer's products: the bits of one thread. */
static void test_shared_products(const problem *p, int isa, int64_t batch_rows)
{
    describe(p, isa);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const size_t bytes = sizeof(float) * (size_t)n_parameters(p);
    float *alone = allocate(bytes), *weights = allocate(bytes);
    for (int threads = 1; threads <= 8; threads += threads == 1 ? 2 : 5) { /* 1, 3, 8 */
        fbp_net *net = net_of(&t, isa, threads, batch_rows);
        fbp_progress progress;
        fbp_plan_form(net, batch_rows, threads);
        CHECK(threads < 8 || net->by_layer, "%s: products are not shared", label);
        CHECK(fbp_train(net, &data, NULL, p->n_rows, batch_rows, &p->step, &progress) == FBP_OK,
              "%s", label);
        net_parameters(p, net, threads == 1 ? alone : weights);
        CHECK(threads == 1 || memcmp(alone, weights, bytes) == 0,
              "%s: %d threads that share products give other weights", label, threads);
        fbp_net_destroy(net);
    }
    free(alone), free(weights);
    samples_free(&s);
    trainer_free(&t);
}

static void test_gradient(const problem *p, int isa)
{
    describe(p, isa);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n = n_parameters(p);
    float *gradient = allocate(sizeof(float) * (size_t)n);
    double *expected = new_doubles(n), loss = NAN;
    fbp_net *net = net_of(&t, isa, 2, p->n_rows);
    CHECK(fbp_loss_gradient(net, &data, &p->step, &loss, gradient, NULL) == FBP_OK, "%s", label);
    check_row_losses(p, net, &data);
    trainer_batch(&t, &s, NULL, p->n_rows);
    trainer_flatten(p, t.gw, t.gb, expected);
    const double difference = frobenius_difference(gradient, expected, n);
    CHECK(difference <= tolerance_of(p->precision), "%s: gradient differs by %g", label,
          difference);
    fbp_net_destroy(net);
    free(gradient), free(expected);
    samples_free(&s);
    trainer_free(&t);
}

static void test_prediction(const problem *p, int isa)
{
    describe(p, isa);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n_out = p->units[p->n_layers], size = p->n_rows * n_out;
    float *together = allocate(sizeof(float) * (size_t)size);
    float *alone = allocate(sizeof(float) * (size_t)n_out);
    double *expected = new_doubles(size);
    for (int64_t r = 0; r < p->n_rows; r++) {
        trainer_forward(&t, s.x + r * p->units[0]);
        for (int64_t c = 0; c < n_out; c++)
            expected[r * n_out + c] = (double)t.o[c];
    }
    fbp_net *net = net_of(&t, isa, 3, 0);
    CHECK(fbp_predict(net, &data.x, 0, NULL, NULL, FBP_F32, together) == FBP_OK, "%s", label);
    const double difference = frobenius_difference(together, expected, size);
    CHECK(difference <= tolerance_of(p->precision), "%s: predictions differ by %g", label,
          difference);
    for (int64_t r = 0; r < p->n_rows; r += 7) {
        fbp_matrix row = data.x;
        row.n_rows = 1;
        row.data = (const float *)row.data + r * row.ld;
        CHECK(fbp_predict(net, &row, 0, NULL, NULL, FBP_F32, alone) == FBP_OK, "%s", label);
        CHECK(memcmp(alone, together + r * n_out, sizeof(float) * (size_t)n_out) == 0,
              "%s: row %lld alone differs", label, (long long)r);
    }
    fbp_net_destroy(net);
    free(together), free(alone), free(expected);
    samples_free(&s);
    trainer_free(&t);
}

/* float64, and layers too thin: the bits of the family whose kernels the others are. */
static void test_unsplit(int isa, int precision, int real)
{
    const problem p = {.n_layers = 2,
                       .activation = FBP_ACT_TANH,
                       .loss = FBP_LOSS_SQUARED_ERROR,
                       .solver = FBP_SOLVER_SGD,
                       .real = real,
                       .precision = precision,
                       .units = {real == FBP_F64 ? 70 : 8, 90, 3},
                       .n_rows = 50,
                       .step = usual};
    describe(&p, isa);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * real_bytes(real);
    void *plain = allocate(bytes), *ours = allocate(bytes);
    fbp_progress progress;
    for (int turn = 0; turn < 2; turn++) {
        fbp_net *net = net_of(&t, turn ? isa : FBP_ISA_REF, 1, 32);
        CHECK(fbp_train(net, &data, NULL, 50, 32, &p.step, &progress) == FBP_OK, "%s", label);
        net_parameters(&p, net, turn ? ours : plain);
        fbp_net_destroy(net);
    }
    CHECK(memcmp(plain, ours, bytes) == 0, "%s: not float's own bits", label);
    free(plain), free(ours);
    samples_free(&s);
    trainer_free(&t);
}

static void test_family(const split_family *f, int precision)
{
    problem p = {.n_layers = 3,
                 .activation = FBP_ACT_RELU,
                 .loss = FBP_LOSS_LOG_LOSS,
                 .solver = FBP_SOLVER_ADAM,
                 .real = FBP_F32,
                 .precision = precision,
                 .weighted = 1,
                 .units = {60, 100, 70, 5},
                 .n_rows = 131,
                 .step = usual};
    test_training(&p, f->isa, 57);
    p.activation = FBP_ACT_GELU; /* its slopes are stored */
    test_training(&p, f->isa, 57);
    p.activation = FBP_ACT_TANH, p.solver = FBP_SOLVER_NESTEROV, p.loss = FBP_LOSS_POISSON;
    p.dropout[0] = 0.2, p.dropout[1] = 0.5;
    test_training(&p, f->isa, 131);
    p.n_layers = 2, p.units[2] = 1, p.loss = FBP_LOSS_BINARY_LOG_LOSS, p.weighted = 0;
    p.solver = FBP_SOLVER_SGD;
    test_training(&p, f->isa, 20);
    test_prediction(&p, f->isa);
    p.n_layers = 1, p.units[0] = 80, p.units[1] = 70, p.loss = FBP_LOSS_SQUARED_ERROR;
    test_training(&p, f->isa, 100);
    p.units[0] = p.units[1] = 48, p.n_rows = FBP_CHUNK_ROWS + 33; /* two chunks */
    test_training(&p, f->isa, p.n_rows);
    p.step.max_grad_norm = 0.02, p.step.weight_decay = 0.5;
    test_training(&p, f->isa, p.n_rows);
    p.n_rows = 90, p.units[0] = 60, p.units[1] = 100, p.solver = FBP_SOLVER_ADAM;
    test_training(&p, f->isa, 40);
    p.units[0] = p.units[1] = 48, p.step = usual;
    p.n_rows = 70, p.solver = FBP_SOLVER_GRADIENT;
    test_gradient(&p, f->isa);
    p.n_layers = 3, p.units[0] = 70, p.units[1] = 400, p.units[2] = 300, p.units[3] = 3;
    p.n_rows = 40, p.solver = FBP_SOLVER_ADAM;
    test_shared_products(&p, f->isa, 24);
    p.dropout[0] = p.dropout[1] = 0;
    p.activation = FBP_ACT_MISH;
    test_shared_products(&p, f->isa, 24);
    for (int real = FBP_F32; real <= FBP_F64; real++)
        test_unsplit(f->isa, precision, real);
}

int main(void)
{
    split_family families[FBP_N_ISAS * FBP_N_PRECISIONS];
    const int n_families = split_families(families);
    for (int f = 0; f < n_families; f++)
        for (int precision = 0; precision < FBP_N_PRECISIONS; precision++)
            if (fbp_parts(precision) == families[f].parts) test_family(&families[f], precision);
    check_emulation(n_families);
    return check_done("split training");
}
