/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole training through the public header: trajectories and gradients against a naive trainer in
 * double and against finite differences, predictions, and the same bits for any number of threads
 * and any fused family. The families compared with the naive trainer are the best one and those with
 * bits of their own.
 */
#include "trainer.h"

#define EPOCHS 3
#define MOST_THREADS 4

static char label[200];
static int tested; /* kernel family */

static void describe(const problem *p)
{
    snprintf(label, sizeof label, "%s %s %s %s %s, %d layers, %lld → %lld, %lld rows",
             fbp_isa_name(tested), real_name(p->real), fbp_activation_name(p->activation),
             fbp_loss_name(p->loss), fbp_solver_name(p->solver), p->n_layers,
             (long long)p->units[0], (long long)p->units[p->n_layers], (long long)p->n_rows);
}

static double tolerance_of(const problem *p) { return p->real == FBP_F32 ? 2e-4 : 1e-10; }

static void shuffle(int64_t *order, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = random_below(i + 1), kept = order[i];
        order[i] = order[j], order[j] = kept;
    }
}

/* A few epochs of both; `order` leaves some rows out. */
static void test_trajectory(const problem *p, int64_t batch_rows, int n_threads)
{
    describe(p);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n = n_parameters(p), n_order = p->n_rows - p->n_rows / 8;
    int64_t *order = allocate(sizeof(int64_t) * (size_t)p->n_rows);
    void *weights = allocate((size_t)n * real_bytes(p->real));
    double *expected = new_doubles(n);
    fbp_net *net = net_of(&t, tested, n_threads, batch_rows);
    for (int epoch = 0; net && epoch < EPOCHS; epoch++) {
        fbp_progress progress;
        double loss_sum = 0;
        const int64_t before = t.step_count;
        shuffle(order, p->n_rows);
        CHECK(fbp_train(net, &data, order, n_order, batch_rows, &p->step, &progress) == FBP_OK,
              "%s: train", label);
        for (int64_t first = 0; first < n_order; first += batch_rows) {
            const int64_t rows = first + batch_rows < n_order ? batch_rows : n_order - first;
            loss_sum += trainer_batch(&t, &s, order + first, rows) * (double)rows;
        }
        CHECK(progress.n_rows == n_order && progress.n_steps == t.step_count - before,
              "%s: progress", label);
        CHECK(fabs(progress.loss_sum - loss_sum) <= tolerance_of(p) * fabs(loss_sum),
              "%s: epoch %d: loss %.12g, expected %.12g", label, epoch, progress.loss_sum,
              loss_sum);
    }
    net_parameters(p, net, weights);
    trainer_flatten(p, t.w, t.b, expected);
    const double difference = relative_difference(p->real, weights, expected, n);
    CHECK(difference <= tolerance_of(p), "%s: weights differ by %g", label, difference);
    CHECK(fbp_net_get_step_count(net) == t.step_count, "%s: step count", label);
    fbp_net_destroy(net);
    free(order), free(weights), free(expected);
    samples_free(&s);
    trainer_free(&t);
}

/* Loss at parameters + h · direction, by the core. */
static double loss_along(const problem *p, trainer *t, const fbp_data *data,
                         const double *direction, double h)
{
    trainer moved = *t;
    int64_t at = 0;
    double loss = NAN;
    for (int l = 0; l < p->n_layers; l++) {
        const int64_t n = p->units[l] * p->units[l + 1];
        moved.w[l] = new_doubles(n);
        for (int64_t i = 0; i < n; i++)
            moved.w[l][i] = t->w[l][i] + h * direction[at++];
    }
    for (int l = 0; l < p->n_layers; l++) {
        moved.b[l] = new_doubles(p->units[l + 1]);
        for (int64_t j = 0; j < p->units[l + 1]; j++)
            moved.b[l][j] = t->b[l][j] + h * direction[at++];
    }
    void *unused = allocate((size_t)n_parameters(p) * real_bytes(p->real));
    fbp_net *net = net_of(&moved, tested, 1, p->n_rows);
    CHECK(fbp_loss_gradient(net, data, &p->step, &loss, unused, NULL) == FBP_OK, "loss_gradient");
    fbp_net_destroy(net);
    for (int l = 0; l < p->n_layers; l++)
        free(moved.w[l]), free(moved.b[l]);
    free(unused);
    return loss;
}

/* The gradient against the naive one, and along a random direction against a difference of losses. */
static void test_gradient(const problem *p)
{
    describe(p);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n = n_parameters(p), n_out = p->units[p->n_layers];
    void *gradient = allocate((size_t)n * real_bytes(p->real));
    double *expected = new_doubles(n), *direction = new_doubles(n);
    double loss = NAN, slope = 0;
    fbp_net *net = net_of(&t, tested, 2, p->n_rows);
    CHECK(fbp_loss_gradient(net, &data, &p->step, &loss, gradient, NULL) == FBP_OK, "%s: gradient",
          label);
    check_row_losses(p, net, &data);
    const double expected_loss = trainer_batch(&t, &s, NULL, p->n_rows);
    trainer_flatten(p, t.gw, t.gb, expected);
    const double difference = relative_difference(p->real, gradient, expected, n);
    CHECK(difference <= (p->real == FBP_F32 ? 1e-5 : 1e-13), "%s: gradient differs by %g", label,
          difference);
    CHECK(fabs(loss - expected_loss) <= tolerance_of(p) * fabs(expected_loss),
          "%s: loss %.12g not %.12g", label, loss, expected_loss);
    /* A mean over several outputs is not the sum that is learnt; a kink of an activation, a difference may
     * cross, and one of a loss, but there are few of these. */
    const int comparable = !oracle_of(p->loss)->mean || n_out == 1;
    if (p->real == FBP_F64 && comparable && !exactly(p->activation)->kinked) {
        const double h = 1e-6;
        for (int64_t i = 0; i < n; i++) {
            direction[i] = random_between(-1, 1);
            slope += direction[i] * real_at(p->real, gradient, i);
        }
        const double measured =
            (loss_along(p, &t, &data, direction, h) - loss_along(p, &t, &data, direction, -h)) /
            (2 * h);
        CHECK(fabs(measured - slope) <= 1e-6 * (1 + fabs(slope)), "%s: slope %.9g, measured %.9g",
              label, slope, measured);
    }
    fbp_net_destroy(net);
    free(gradient), free(expected), free(direction);
    samples_free(&s);
    trainer_free(&t);
}

/* Every row's prediction against the naive one; and each row alone has the same bits. */
static void test_prediction(const problem *p)
{
    describe(p);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n_out = p->units[p->n_layers], size = p->n_rows * n_out;
    const size_t row_bytes = (size_t)n_out * real_bytes(p->real);
    char *together = allocate((size_t)p->n_rows * row_bytes), *alone = allocate(row_bytes);
    double *expected = new_doubles(size);
    for (int64_t r = 0; r < p->n_rows; r++) {
        trainer_forward(&t, s.x + r * p->units[0]);
        for (int64_t c = 0; c < n_out; c++)
            expected[r * n_out + c] = (double)t.o[c];
    }
    fbp_net *net = net_of(&t, tested, 3, 0);
    CHECK(fbp_predict(net, &data.x, 0, NULL, NULL, p->real, together) == FBP_OK, "%s: predict",
          label);
    const double difference = relative_difference(p->real, together, expected, size);
    CHECK(difference <= (p->real == FBP_F32 ? 1e-5 : 1e-13), "%s: prediction differs by %g", label,
          difference);
    for (int64_t r = 0; r < p->n_rows; r++) {
        fbp_matrix row = data.x;
        row.n_rows = 1;
        row.data = (const char *)row.data + (size_t)(r * row.ld) * real_bytes(p->real);
        CHECK(fbp_predict(net, &row, 0, NULL, NULL, p->real, alone) == FBP_OK, "%s: predict",
              label);
        CHECK(memcmp(alone, together + (size_t)r * row_bytes, row_bytes) == 0,
              "%s: row %lld alone differs", label, (long long)r);
    }
    check_order(p, net, &data.x, together);
    fbp_net_destroy(net);
    free(together), free(alone), free(expected);
    samples_free(&s);
    trainer_free(&t);
}

/* Weights after some epochs, for every family and number of threads: one set of bits for the fused
 * families, one for each other. */
static void test_same_bits(const problem *p, int64_t batch_rows, int epochs)
{
    describe(p);
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const size_t bytes = (size_t)n_parameters(p) * real_bytes(p->real);
    void *first[] = {allocate(bytes), allocate(bytes)}, *weights = allocate(bytes);
    fbp_progress first_progress[2] = {0}, progress;
    for (int isa = 0, n_fused = 0; isa < FBP_N_ISAS; isa++) {
        const int fused = fbp_isa_fused(isa, p->real);
        for (int threads = 1; fbp_isa_available(isa) && threads <= MOST_THREADS;) {
            const int n_done = fused ? n_fused++ : threads - 1;
            fbp_net *net = net_of(&t, isa, threads, batch_rows);
            for (int epoch = 0; epoch < epochs; epoch++)
                CHECK(fbp_train(net, &data, NULL, p->n_rows, batch_rows, &p->step, &progress) ==
                          FBP_OK,
                      "%s: train", label);
            net_parameters(p, net, n_done ? weights : first[fused]);
            if (!n_done) first_progress[fused] = progress;
            CHECK(!n_done || memcmp(first[fused], weights, bytes) == 0,
                  "%s: %s with %d threads: other weights", label, fbp_isa_name(isa), threads);
            CHECK(same_bits(progress.loss_sum, first_progress[fused].loss_sum),
                  "%s: %s with %d threads: other loss", label, fbp_isa_name(isa), threads);
            threads += isa == FBP_ISA_REF ? 2 : 1; /* ref is slow */
            fbp_net_destroy(net);
        }
    }
    free(first[0]), free(first[1]), free(weights);
    samples_free(&s);
    trainer_free(&t);
}

/* Shapes in turn, so that every loss, activation and solver meets several. */
static problem problem_number(int i, int real, int solver)
{
    static const int64_t shapes[][MOST_LAYERS + 1] = {
        {3, 5, 2}, {17, 33, 9, 1}, {8, 16, 3}, {1, 1, 1, 2}, {40, 50, 31, 17, 5}, {12, 1}, {30, 3}};
    static const int depths[] = {2, 3, 2, 3, 4, 1, 1};
    const int shape = i % 7;
    problem p = {.n_layers = depths[shape],
                 .activation = i / 7 % FBP_N_ACTIVATIONS,
                 .loss = i % FBP_N_LOSSES,
                 .solver = solver,
                 .real = real,
                 .weighted = i % 3 == 0,
                 .n_rows = 30 + i,
                 .step = usual};
    memcpy(p.units, shapes[shape], sizeof p.units);
    if (oracle_of(p.loss)->targets == ABOVE_ZERO)
        p.step.learning_rate = 0.001; /* slopes without bound: with more, some of these diverge */
    if (loss_smooths(p.loss)) p.step.label_smoothing = 0.125 * (double)(i % 3);
    if (fbp_loss_takes_codes(p.loss) && p.units[p.n_layers] == 1) p.units[p.n_layers] = 3;
    return p;
}

/* One family and type against the naive trainer; each activation meets seven shapes. */
static void test_family(int real)
{
    for (int i = 0; i < 14 * FBP_N_ACTIVATIONS; i += fewer_cases() ? 3 : 1) {
        /* Losses and activations go round with i, too. */
        const int turn = i + i / 4;
        const int solver = FBP_SOLVER_SGD + turn % (FBP_N_SOLVERS - FBP_SOLVER_SGD);
        problem p = problem_number(i, real, solver);
        test_trajectory(&p, 1 + i % 29, 1 + i % 3);
        p.solver = FBP_SOLVER_GRADIENT;
        test_gradient(&p);
        test_prediction(&p);
    }
    problem large = problem_number(2, real, FBP_SOLVER_ADAM);
    large.n_rows = 10000;
    test_trajectory(&large, 10000, 2); /* three chunks of the rows that the order keeps */
    large.n_rows = 4200, large.solver = FBP_SOLVER_GRADIENT;
    test_gradient(&large);
}

int main(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        for (tested = 0; tested < FBP_N_ISAS; tested++)
            if (tested == fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST) ||
                (fbp_isa_available(tested) && !fbp_isa_fused(tested, real)))
                test_family(real);
        tested = FBP_ISA_REF;
        for (int i = 0; i < (fewer_cases() ? 7 : 12); i++) { /* seven shapes */
            problem p = problem_number(i, real, FBP_SOLVER_SGD + i % 3);
            p.n_rows = 150;
            test_same_bits(&p, 64, 2);
        }
        problem large = problem_number(2, real, FBP_SOLVER_ADAM);
        large.n_rows = 4200;
        test_same_bits(&large, 4100, 1);
    }
    return check_done("training");
}
