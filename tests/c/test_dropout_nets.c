/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Training with dropout through the public header: trajectories against the naive trainer with the same
 * masks (and so the gradients, by the formulas), one set of bits for any number of threads and any fused
 * family, steps that go on from call to call, predictions without dropout, and what is refused.
 *
 * The forms of the rows phase, sparse X and split layers with dropout are in the tests of these.
 */
#include "trainer.h"

#define EPOCHS 2

static char label[200];

static void describe(const problem *p, int isa)
{
    snprintf(label, sizeof label, "%s %s %s, %d layers, dropout %g %g, %lld rows",
             fbp_isa_name(isa), real_name(p->real), fbp_activation_name(p->activation), p->n_layers,
             p->dropout[0], p->dropout[1], (long long)p->n_rows);
}

/* Shapes in turn: several hidden layers, some of them without dropout; one output; wide ones. */
static problem problem_number(int i, int real)
{
    static const int64_t shapes[][MOST_LAYERS + 1] = {
        {9, 33, 2}, {7, 70, 19, 1}, {12, 100, 3}, {5, 8, 130, 17, 4}};
    static const double rates[][MOST_LAYERS] = {{0.5}, {0.1, 0.7}, {0.2}, {0.3, 0, 0.6}};
    static const int depths[] = {2, 3, 2, 4};
    const int shape = i % 4;
    problem p = {.n_layers = depths[shape],
                 .activation = i % FBP_N_ACTIVATIONS,
                 .loss = i % 3 ? FBP_LOSS_SQUARED_ERROR : FBP_LOSS_POISSON,
                 .solver = FBP_SOLVER_SGD + i % (FBP_N_SOLVERS - FBP_SOLVER_SGD),
                 .real = real,
                 .weighted = i % 3 == 0,
                 .n_rows = 90 + i,
                 .step = usual};
    memcpy(p.units, shapes[shape], sizeof p.units);
    memcpy(p.dropout, rates[shape], sizeof p.dropout);
    p.step.learning_rate = 0.002;
    return p;
}

/* Some epochs of both, each epoch a call. The first batch has no weight: it is no step. */
static void test_trajectory(const problem *p, int isa, int64_t batch_rows, int n_threads)
{
    describe(p, isa);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    for (int64_t r = 0; p->weighted && r < batch_rows && r < p->n_rows / 2; r++)
        s.weights[r] = 0;
    free(s.weights_real);
    s.weights_real = as_reals(p->real, s.weights, p->n_rows);
    const fbp_data data = data_of(p, &s);
    const int64_t n = n_parameters(p);
    void *weights = allocate((size_t)n * real_bytes(p->real));
    double *expected = new_doubles(n);
    int64_t *order = allocate(sizeof(int64_t) * (size_t)p->n_rows);
    for (int64_t r = 0; r < p->n_rows; r++)
        order[r] = r;
    fbp_net *net = net_of(&t, isa, n_threads, batch_rows);
    for (int epoch = 0; net && epoch < EPOCHS; epoch++) {
        fbp_progress progress;
        double loss_sum = 0;
        CHECK(fbp_train(net, &data, NULL, p->n_rows, batch_rows, &p->step, &progress) == FBP_OK,
              "%s: train", label);
        for (int64_t first = 0; first < p->n_rows; first += batch_rows) {
            const int64_t rows = fmin((double)batch_rows, (double)(p->n_rows - first));
            loss_sum += trainer_batch(&t, &s, order + first, rows) * (double)rows;
        }
        CHECK(fabs(progress.loss_sum - loss_sum) <=
                  (p->real == FBP_F32 ? 2e-4 : 1e-10) * fabs(loss_sum),
              "%s: epoch %d: loss %.12g, expected %.12g", label, epoch, progress.loss_sum,
              loss_sum);
    }
    net_parameters(p, net, weights);
    trainer_flatten(p, t.w, t.b, expected);
    const double difference = relative_difference(p->real, weights, expected, n);
    CHECK(difference <= (p->real == FBP_F32 ? 2e-4 : 1e-10), "%s: weights differ by %g", label,
          difference);
    CHECK(fbp_net_get_step_count(net) == t.step_count, "%s: step count", label);
    fbp_net_destroy(net);
    free(order), free(weights), free(expected);
    samples_free(&s);
    trainer_free(&t);
}

/* The parameters after an epoch, in a new array; the net goes. */
static void *train(const trainer *t, const samples *s, int isa, int n_threads, int64_t batch_rows,
                   const fbp_step *step)
{
    const problem *p = t->p;
    const fbp_data data = data_of(p, s);
    fbp_progress progress;
    void *out = allocate((size_t)n_parameters(p) * real_bytes(p->real));
    fbp_net *net = net_of(t, isa, n_threads, batch_rows);
    CHECK(fbp_train(net, &data, NULL, p->n_rows, batch_rows, step, &progress) == FBP_OK, "%s",
          label);
    net_parameters(p, net, out);
    fbp_net_destroy(net);
    return out;
}

/* One set of bits for the fused families, one for each other, for any number of threads; others with
 * another seed; and with rates of zero those without dropout. */
static void test_same_bits(const problem *p, int64_t batch_rows)
{
    problem none = *p;
    memset(none.dropout, 0, sizeof none.dropout);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const size_t bytes = (size_t)n_parameters(p) * real_bytes(p->real);
    fbp_step other = p->step;
    other.dropout_seed ^= UINT64_C(1) << 63;
    void *fused = train(&t, &s, FBP_ISA_REF, 1, batch_rows, &p->step);
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        if (!fbp_isa_available(isa)) continue;
        describe(p, isa);
        void *one = train(&t, &s, isa, 1, batch_rows, &p->step);
        CHECK(!fbp_isa_fused(isa, p->real) || memcmp(one, fused, bytes) == 0, "%s: not ref's bits",
              label);
        for (int threads = 2; threads <= (isa == FBP_ISA_REF ? 2 : 4); threads++) {
            void *more = train(&t, &s, isa, threads, batch_rows, &p->step);
            CHECK(memcmp(one, more, bytes) == 0, "%s: %d threads: other weights", label, threads);
            free(more);
        }
        void *reseeded = train(&t, &s, isa, 1, batch_rows, &other);
        CHECK(memcmp(one, reseeded, bytes) != 0, "%s: another seed, the same weights", label);
        t.p = &none;
        void *whole = train(&t, &s, isa, 2, batch_rows, &p->step);
        void *unseeded = train(&t, &s, isa, 1, batch_rows, &other);
        t.p = p;
        CHECK(memcmp(one, whole, bytes) != 0, "%s: nothing was dropped", label);
        CHECK(memcmp(unseeded, whole, bytes) == 0, "%s: a seed matters without dropout", label);
        free(one), free(reseeded), free(whole), free(unseeded);
    }
    free(fused);
    samples_free(&s);
    trainer_free(&t);
}

/* Half of the batches, then a new net with the first one's weights and step count: as in one call. */
static void test_steps_go_on(const problem *p, int64_t batch_rows)
{
    describe(p, FBP_ISA_REF);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    fbp_data data = data_of(p, &s);
    const int64_t half = p->n_rows / batch_rows / 2 * batch_rows;
    const size_t bytes = (size_t)n_parameters(p) * real_bytes(p->real);
    fbp_step step = p->step;
    step.momentum = 0; /* so that the weights are all the state */
    void *whole = train(&t, &s, FBP_ISA_REF, 1, batch_rows, &step);
    void *parts = allocate(bytes);
    int64_t *order = allocate(sizeof(int64_t) * (size_t)p->n_rows);
    for (int64_t r = 0; r < p->n_rows; r++)
        order[r] = r;
    fbp_progress progress;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 2, batch_rows), *next;
    CHECK(fbp_train(net, &data, order, half, batch_rows, &step, &progress) == FBP_OK, "train");
    next = net_of(&t, FBP_ISA_REF, 1, batch_rows);
    for (int l = 0; l < p->n_layers; l++) {
        void *w = allocate((size_t)(p->units[l] * p->units[l + 1]) * real_bytes(p->real));
        void *b = allocate((size_t)p->units[l + 1] * real_bytes(p->real));
        CHECK(fbp_net_get_layer(net, l, w, b) == FBP_OK &&
                  fbp_net_set_layer(next, l, w, b) == FBP_OK,
              "layer");
        free(w), free(b);
    }
    const int64_t count = fbp_net_get_step_count(net);
    CHECK(fbp_net_set_step_count(next, count, 0.9, 0.999) == FBP_OK, "step count");
    CHECK(fbp_train(next, &data, order + half, p->n_rows - half, batch_rows, &step, &progress) ==
              FBP_OK,
          "train");
    net_parameters(p, next, parts);
    CHECK(memcmp(whole, parts, bytes) == 0, "%s: in two parts: other weights", label);
    fbp_net_destroy(net), fbp_net_destroy(next);
    free(whole), free(parts), free(order);
    samples_free(&s);
    trainer_free(&t);
}

/* A net that has trained with dropout predicts as one that never did. */
static void test_prediction(const problem *p, int isa)
{
    describe(p, isa);
    problem none = *p;
    memset(none.dropout, 0, sizeof none.dropout);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const size_t bytes = (size_t)(p->n_rows * p->units[p->n_layers]) * real_bytes(p->real);
    void *out[2] = {allocate(bytes), allocate(bytes)};
    for (int turn = 0; turn < 2; turn++) {
        t.p = turn ? &none : p;
        fbp_net *net = net_of(&t, isa, 2, turn ? 0 : 50);
        CHECK(fbp_predict(net, &data.x, 0, NULL, NULL, p->real, out[turn]) == FBP_OK, "%s", label);
        fbp_net_destroy(net);
    }
    CHECK(memcmp(out[0], out[1], bytes) == 0, "%s: predictions differ", label);
    free(out[0]), free(out[1]);
    samples_free(&s);
    t.p = p;
    trainer_free(&t);
}

static void test_refusals(void)
{
    static const double bad[] = {1, 1.5, -0.1, NAN, INFINITY};
    const int64_t units[] = {3, 4, 5, 2};
    const int32_t activations[] = {FBP_ACT_RELU, FBP_ACT_RELU};
    double rates[] = {0, 0};
    fbp_spec spec = {.n_layers = 3,
                     .units = units,
                     .activations = activations,
                     .loss = FBP_LOSS_SQUARED_ERROR,
                     .solver = FBP_SOLVER_SGD,
                     .isa = FBP_ISA_REF,
                     .n_threads = 1,
                     .max_rows = 10,
                     .dropout = rates};
    fbp_net *net;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int l = 0; l < 2; l++) {
            rates[l] = bad[i];
            CHECK(fbp_net_create(&spec, &net) == FBP_EINVAL, "rate %g was taken", bad[i]);
            rates[l] = 0;
        }
    spec.solver = FBP_SOLVER_GRADIENT;
    CHECK(fbp_net_create(&spec, &net) == FBP_OK, "rates of zero");
    fbp_net_destroy(net);
    rates[1] = 0.5;
    CHECK(fbp_net_create(&spec, &net) == FBP_EINVAL, "a gradient with dropout");
}

int main(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        for (int i = 0; i < (fewer_cases() ? 4 : 4 * FBP_N_ACTIVATIONS); i++) {
            const problem p = problem_number(i, real);
            for (int isa = 0; isa < FBP_N_ISAS; isa++)
                if (isa == fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST) ||
                    (fbp_isa_available(isa) && !fbp_isa_fused(isa, real)))
                    test_trajectory(&p, isa, 8 + 7 * i % 50, 1 + i % 3);
            test_prediction(&p, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST));
        }
        for (int i = 0; i < 4; i++) {
            problem p = problem_number(i, real);
            test_same_bits(&p, 40);
            p.solver = FBP_SOLVER_SGD, p.weighted = 0;
            test_steps_go_on(&p, 16);
        }
        problem large = problem_number(0, real); /* two chunks of a batch */
        large.n_rows = FBP_CHUNK_ROWS + 100;
        test_trajectory(&large, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), large.n_rows, 2);
        test_same_bits(&large, large.n_rows);
    }
    test_refusals();
    return check_done("dropout nets");
}
