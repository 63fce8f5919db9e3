/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gradients clipped to a norm, and decoupled weight decay, through the public header: against the naive
 * trainer in double; the same bits for any number of threads and any fused family; what a step is then
 * long; and the first layer's delta.
 */
#include "trainer.h"

#define EPOCHS 3

static char label[200];

static void describe(const problem *p, int isa, int64_t batch_rows)
{
    snprintf(label, sizeof label, "%s %s %s, %d layers, %lld → %lld, batches of %lld, norm %g",
             fbp_isa_name(isa), real_name(p->real), fbp_solver_name(p->solver), p->n_layers,
             (long long)p->units[0], (long long)p->units[p->n_layers], (long long)batch_rows,
             p->step.max_grad_norm);
}

/* Weights after some epochs of the core; the last call's progress. */
static fbp_progress train(const problem *p, const trainer *t, const samples *s, int isa,
                          int n_threads, int64_t batch_rows, void *weights)
{
    const fbp_data data = data_of(p, s);
    fbp_progress progress = {0};
    fbp_net *net = net_of(t, isa, n_threads, batch_rows);
    for (int epoch = 0; net && epoch < EPOCHS; epoch++)
        CHECK(fbp_train(net, &data, NULL, p->n_rows, batch_rows, &p->step, &progress) == FBP_OK,
              "%s: train", label);
    net_parameters(p, net, weights);
    fbp_net_destroy(net);
    return progress;
}

/* Every family and number of threads beside the naive trainer. */
static void test_training(const problem *p, int64_t batch_rows)
{
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const int64_t n = n_parameters(p);
    const size_t bytes = (size_t)n * real_bytes(p->real);
    char *first[2] = {allocate(bytes), allocate(bytes)}, *weights = allocate(bytes);
    fbp_progress progress, kept[2];
    int n_fused = 0;
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        const int fused = fbp_isa_fused(isa, p->real);
        for (int threads = 1; fbp_isa_available(isa) && threads <= 3;) {
            describe(p, isa, batch_rows);
            const int n_done = fused ? n_fused++ : threads - 1;
            progress = train(p, &t, &s, isa, threads, batch_rows, n_done ? weights : first[fused]);
            if (!n_done) kept[fused] = progress;
            CHECK(!n_done || memcmp(weights, first[fused], bytes) == 0, "%s, %d threads: weights",
                  label, threads);
            CHECK(memcmp(&progress, &kept[fused], sizeof progress) == 0, "%s, %d threads: progress",
                  label, threads);
            threads += isa == FBP_ISA_REF || fewer_cases() ? 2 : 1; /* ref is slow */
        }
    }
    double *expected = new_doubles(n), loss_sum = 0;
    int64_t *order = allocate(sizeof(int64_t) * (size_t)p->n_rows);
    for (int64_t r = 0; r < p->n_rows; r++)
        order[r] = r;
    for (int epoch = 0; epoch < EPOCHS; epoch++, loss_sum = epoch < EPOCHS ? 0 : loss_sum)
        for (int64_t row = 0; row < p->n_rows; row += batch_rows) {
            const int64_t rows = row + batch_rows < p->n_rows ? batch_rows : p->n_rows - row;
            loss_sum += trainer_batch(&t, &s, order + row, rows) * (double)rows;
        }
    trainer_flatten(p, t.w, t.b, expected);
    const double tolerance = p->real == FBP_F32 ? 2e-4 : 1e-10;
    for (int fused = 0; fused < 2; fused++) {
        if (fused != 1 && !fbp_isa_available(FBP_ISA_SSE2)) continue;
        const double difference = relative_difference(p->real, first[fused], expected, n);
        CHECK(difference <= tolerance, "%s: weights differ by %g", label, difference);
        CHECK(fabs(kept[fused].loss_sum - loss_sum) <= tolerance * fabs(loss_sum), "%s: loss",
              label);
    }
    free(first[0]), free(first[1]), free(weights), free(expected), free(order);
    samples_free(&s);
    trainer_free(&t);
}

/* One full batch from the start: the length of what plain descent does, over its rate. */
static double step_length(problem p, double max_grad_norm, void *weights)
{
    p.step.max_grad_norm = max_grad_norm, p.solver = FBP_SOLVER_SGD;
    p.step.momentum = p.step.weight_decay = 0;
    random_state = 5;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const int64_t n = n_parameters(&p);
    double *start = new_doubles(n), sum = 0;
    fbp_progress progress;
    trainer_flatten(&p, t.w, t.b, start);
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F64, p.precision), 2, p.n_rows);
    CHECK(fbp_train(net, &data, NULL, p.n_rows, p.n_rows, &p.step, &progress) == FBP_OK, "train");
    net_parameters(&p, net, weights);
    for (int64_t i = 0; i < n; i++) {
        const double moved = real_at(p.real, weights, i) - start[i];
        sum += moved * moved;
    }
    fbp_net_destroy(net);
    free(start);
    samples_free(&s);
    trainer_free(&t);
    return sqrt(sum) / p.step.learning_rate;
}

/* A clipped step is as long as asked for; a norm that is not reached changes no bit. */
static void test_length(const problem *p)
{
    const size_t bytes = (size_t)n_parameters(p) * real_bytes(p->real);
    char *free_step = allocate(bytes), *clipped = allocate(bytes);
    const double length = step_length(*p, 0, free_step);
    const double tolerance = p->real == FBP_F32 ? 1e-3 : 1e-11;
    CHECK(length > 0, "the gradient has a length");
    for (double share = 0.01; share < 0.9; share *= 3) {
        const double is = step_length(*p, share * length, clipped);
        CHECK(fabs(is / (share * length) - 1) <= tolerance, "clipped to %g, is %g", share * length,
              is);
    }
    CHECK(memcmp(free_step, clipped, bytes) != 0, "a clipped step differs");
    CHECK(step_length(*p, 1.01 * length, clipped) == length &&
              memcmp(free_step, clipped, bytes) == 0,
          "a shorter gradient is left as it is");
    free(free_step), free(clipped);
}

/* Squares beyond float's range do not matter; a gradient that is not finite is not hidden. */
static void test_extremes(void)
{
    const double scales[] = {1e-25, 1e25, INFINITY};
    for (int i = 0; i < 3; i++) {
        const float y = (float)scales[i], x = 1, zero = 0;
        const int64_t units[] = {1, 1};
        const fbp_spec spec = {.n_layers = 1,
                               .units = units,
                               .solver = FBP_SOLVER_SGD,
                               .n_threads = 1,
                               .max_rows = 1,
                               .clips = 1};
        const fbp_step step = {.learning_rate = 1, .max_grad_norm = 0.5 * scales[i]};
        const fbp_data data = {.x = {1, 1, FBP_F32, 0, &x, 1, NULL, NULL}, .y = &y};
        fbp_progress progress;
        fbp_net *net;
        float w, b;
        CHECK(fbp_net_create(&spec, &net) == FBP_OK, "net");
        CHECK(fbp_net_set_layer(net, 0, &zero, &zero) == FBP_OK, "zeros");
        CHECK(fbp_train(net, &data, NULL, 1, 1, &step, &progress) == FBP_OK, "train");
        CHECK(fbp_net_get_layer(net, 0, &w, &b) == FBP_OK, "weights");
        const double expected = sqrt(0.125) * scales[i]; /* of both, half the norm */
        CHECK(isfinite(scales[i]) ? fabs(w / expected - 1) < 1e-6 && w == b : !isfinite(w),
              "gradient %g: %g and %g", scales[i], (double)w, (double)b);
        fbp_net_destroy(net);
    }
}

static int stop_at(void *context) { return --*(int *)context == 0; }

/* Wherever the poll falls, the weights are those after whole updates. */
static void test_stop(int n_threads)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    p.step.max_grad_norm = 0.01;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const int64_t n_order = 3000000;
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n_order);
    void *stopped = allocate(bytes), *again = allocate(bytes);
    for (int64_t i = 0; i < n_order; i++)
        order[i] = random_below(100);
    int polls = 1;
    fbp_step step = p.step;
    step.poll = stop_at, step.poll_context = &polls;
    fbp_progress progress, expected;
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F64, p.precision), n_threads, 50);
    CHECK(fbp_train(net, &data, order, n_order, 50, &step, &progress) == FBP_ESTOPPED, "stopped");
    net_parameters(&p, net, stopped);
    fbp_net_destroy(net);
    net = net_of(&t, fbp_isa_best(FBP_F64, p.precision), 1, 50);
    CHECK(fbp_train(net, &data, order, progress.n_rows, 50, &p.step, &expected) == FBP_OK, "again");
    net_parameters(&p, net, again);
    CHECK(memcmp(stopped, again, bytes) == 0 && memcmp(&progress, &expected, sizeof progress) == 0,
          "%d threads: a torn update", n_threads);
    fbp_net_destroy(net);
    free(order), free(stopped), free(again);
    samples_free(&s);
    trainer_free(&t);
}

/* A net that was not made for it refuses, before it changes anything. */
static void test_refusal(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_SGD);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    fbp_progress progress;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 10);
    fbp_step step = p.step;
    step.max_grad_norm = 1;
    CHECK(fbp_train(net, &data, NULL, 10, 10, &step, &progress) == FBP_EINVAL, "refused");
    CHECK(fbp_net_get_step_count(net) == 0, "no step");
    fbp_net_destroy(net);
    samples_free(&s);
    trainer_free(&t);
}

/* The first layer's delta of every row, whatever the chunks and the threads. */
static void test_delta(const problem *p)
{
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    const int64_t n = p->n_rows * p->units[1];
    const size_t bytes = (size_t)n * real_bytes(p->real);
    double *expected = new_doubles(n), loss;
    void *grad = allocate((size_t)n_parameters(p) * real_bytes(p->real));
    for (int64_t r = 0; r < p->n_rows; r++) {
        trainer_row(&t, s.x + r * p->units[0], s.y + r * p->units[p->n_layers], s.weights[r]);
        memcpy(expected + r * p->units[1], t.delta[1], sizeof(double) * (size_t)p->units[1]);
    }
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int threads = 1; fbp_isa_available(isa) && threads <= 3;
             threads += fewer_cases() ? 2 : 1) {
            describe(p, isa, p->n_rows);
            buffer delta = buffer_of_bytes(bytes);
            fbp_net *net = net_of(&t, isa, threads, p->n_rows);
            CHECK(fbp_loss_gradient(net, &data, &p->step, &loss, grad, delta.data) == FBP_OK,
                  "%s: gradient", label);
            const double difference = relative_difference(p->real, delta.data, expected, n);
            CHECK(difference <= (p->real == FBP_F32 ? 1e-5 : 1e-13), "%s: delta differs by %g",
                  label, difference);
            fbp_net_destroy(net);
            buffer_free(&delta);
        }
    free(expected), free(grad);
    samples_free(&s);
    trainer_free(&t);
}

/* The shapes in turn with all solvers: columns, edges of panels and strips, several chunks. */
static void test_real(int real)
{
    static const int64_t shapes[][MOST_LAYERS + 1] = {
        {3, 5, 2}, {17, 70, 33, 1}, {40, 49, 3}, {70, 1}, {1, 1, 2}};
    static const int depths[] = {2, 3, 2, 1, 2};
    for (int i = 0; i < (fewer_cases() ? 5 : 12); i++) {
        problem p = {.n_layers = depths[i % 5],
                     .activation = i % 2 ? FBP_ACT_TANH : FBP_ACT_RELU,
                     .loss = i % 2 ? FBP_LOSS_SQUARED_ERROR : FBP_LOSS_BINARY_LOG_LOSS,
                     .solver = FBP_SOLVER_SGD + i % (FBP_N_SOLVERS - FBP_SOLVER_SGD),
                     .real = real,
                     .weighted = i % 3 == 0,
                     .n_rows = 40 + i,
                     .step = usual};
        memcpy(p.units, shapes[i % 5], sizeof p.units);
        p.step.weight_decay = i % 4 ? 0.3 : 0;
        p.step.max_grad_norm = i % 3 ? 0.2 : 0;
        test_training(&p, 1 + 7 * i % 40);
        test_length(&p);
        p.solver = FBP_SOLVER_GRADIENT, p.step.max_grad_norm = 0;
        test_delta(&p);
        if (i > !fewer_cases()) continue;
        p.n_rows = FBP_CHUNK_ROWS + 37, p.solver = FBP_SOLVER_NESTEROV;
        p.step.max_grad_norm = 0.1;
        test_training(&p, FBP_CHUNK_ROWS + 30);
        p.solver = FBP_SOLVER_GRADIENT, p.step.max_grad_norm = 0;
        test_delta(&p);
    }
}

/* A net that clips, in steps that do not ask for it, learns what one does that cannot. */
static void test_not_asked_for(int real)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    p.real = real;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * real_bytes(real);
    void *weights[] = {allocate(bytes), allocate(bytes)};
    for (int clips = 0; clips < 2; clips++) {
        p.step.max_grad_norm = clips ? 1e-3 : 0;
        fbp_net *net = net_of(&t, FBP_ISA_REF, 2, 30);
        p.step.max_grad_norm = 0;
        fbp_progress progress;
        CHECK(fbp_train(net, &data, NULL, p.n_rows, 30, &p.step, &progress) == FBP_OK, "train");
        net_parameters(&p, net, weights[clips]);
        fbp_net_destroy(net);
    }
    CHECK(memcmp(weights[0], weights[1], bytes) == 0, "%s: clipped unasked", real_name(real));
    free(weights[0]), free(weights[1]);
    samples_free(&s);
    trainer_free(&t);
}

int main(void)
{
    test_not_asked_for(FBP_F32);
    test_not_asked_for(FBP_F64);
    test_real(FBP_F32);
    test_real(FBP_F64);
    test_extremes();
    for (int threads = 1; threads <= 3; threads++)
        test_stop(threads);
    test_refusal();
    return check_done("clipping");
}
