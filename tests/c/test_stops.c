/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping: a call that the poll function ends leaves the weights of whole updates, or nothing. And
 * the floating-point environment: the caller's is untouched, also while its poll function runs.
 */
#include "trainer.h"

static int stop_at(void *context) { return --*(int *)context == 0; }

/* A call stopped at some poll leaves the weights of just the updates it counts. */
static void test_stop(int n_threads, int polls)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const int64_t n_order = 4000000;
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n_order);
    void *stopped = allocate(bytes), *again = allocate(bytes);
    for (int64_t i = 0; i < n_order; i++)
        order[i] = random_below(100);
    fbp_step step = usual;
    step.poll = stop_at, step.poll_context = &polls;
    fbp_progress progress, expected;
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), n_threads, 50);
    CHECK(fbp_train(net, &data, order, n_order, 50, &step, &progress) == FBP_ESTOPPED, "stopped");
    CHECK(polls <= 0 && progress.n_rows < n_order, "stopped by a poll");
    CHECK(progress.n_rows == 50 * progress.n_steps, "whole updates");
    CHECK(fbp_net_get_step_count(net) == progress.n_steps, "step count");
    net_parameters(&p, net, stopped);
    fbp_net_destroy(net);

    net = net_of(&t, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), 1, 50);
    CHECK(fbp_train(net, &data, order, progress.n_rows, 50, &usual, &expected) == FBP_OK, "again");
    net_parameters(&p, net, again);
    CHECK(memcmp(stopped, again, bytes) == 0, "%d threads: weights of a torn update", n_threads);
    CHECK(memcmp(&progress, &expected, sizeof progress) == 0, "%d threads: progress", n_threads);
    fbp_net_destroy(net);
    free(order), free(stopped), free(again);
    samples_free(&s);
    trainer_free(&t);
}

/* Predictions and gradients stop, too, and leave their outputs alone. */
static void test_stop_of_others(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_GRADIENT);
    p.units[1] = 500, p.n_rows = 40000;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    double *out = new_doubles(3 * p.n_rows), *grad = new_doubles(n_parameters(&p)), loss = 7;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, p.n_rows);
    int polls = 2;
    CHECK(fbp_predict(net, &data.x, 0, stop_at, &polls, FBP_F64, out) == FBP_ESTOPPED,
          "predict stops");
    polls = 2;
    CHECK(fbp_predict_loss(net, &data, NULL, p.n_rows, stop_at, &polls, out) == FBP_ESTOPPED,
          "losses stop");
    polls = 2;
    fbp_step step = usual;
    step.poll = stop_at, step.poll_context = &polls;
    CHECK(fbp_loss_gradient(net, &data, &step, &loss, grad, NULL) == FBP_ESTOPPED,
          "gradient stops");
    CHECK(loss == 7 && grad[0] == 0, "loss and gradient unchanged when stopped");
    fbp_net_destroy(net);
    free(out), free(grad);
    samples_free(&s);
    trainer_free(&t);
}

#if defined(__x86_64__)
/* Default; as in the core; round to zero; all flags set. */
static const uint64_t modes[] = {0x1f80, 0x9fc0, 0x7f80, 0x1fbf};

static uint64_t get_mode(void) { return __builtin_ia32_stmxcsr(); }

static void set_mode(uint64_t mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }
#elif defined(__aarch64__)
/* FPSR above FPCR. */
static const uint64_t modes[] = {0, 1 << 24, 3 << 22, UINT64_C(0x9f) << 32};

static uint64_t get_mode(void)
{
    uint64_t control, status;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(status));
    return status << 32 | control;
}

static void set_mode(uint64_t mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode & UINT32_MAX));
    __asm__ volatile("msr fpsr, %0" : : "r"(mode >> 32));
}
#endif

#if defined(__x86_64__) || defined(__aarch64__)
static int stop_and_tell(void *mode)
{
    *(uint64_t *)mode = get_mode();
    return 1;
}

/* The mode that the poll function of a training call of some 20 ms sees. */
static uint64_t mode_in_poll(fbp_net *net, const fbp_data *data)
{
    const int64_t n_order = 3000000;
    int64_t *order = allocate(sizeof(int64_t) * (size_t)n_order);
    uint64_t mode = 0;
    fbp_progress progress;
    fbp_step step = usual;
    step.poll = stop_and_tell, step.poll_context = &mode;
    (void)fbp_train(net, data, order, n_order, 32, &step, &progress);
    free(order);
    return mode;
}

static unsigned long long shown(uint64_t mode) { return mode; }

/* The caller's rounding mode, masks and flags are as before, and change no result. */
static void test_floating_point_environment(void)
{
    problem p = usual_problem(FBP_LOSS_LOG_LOSS, FBP_SOLVER_SGD);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    void *first = allocate(bytes), *weights = allocate(bytes);
    double out[300];
    fbp_progress progress;
    const uint64_t caller = get_mode();
    for (int threads = 1; threads <= 2; threads++)
        for (int i = 0; i < 4; i++) {
            fbp_net *net = net_of(&t, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), threads, 32);
            set_mode(modes[i]);
            const fbp_status trained = fbp_train(net, &data, NULL, 100, 32, &usual, &progress);
            const fbp_status predicted = fbp_predict(net, &data.x, 0, NULL, NULL, FBP_F64, out);
            const fbp_status asked = fbp_predict_loss(net, &data, NULL, 100, NULL, NULL, out);
            const uint64_t left = get_mode();
            set_mode(caller);
            CHECK(trained == FBP_OK && predicted == FBP_OK && asked == FBP_OK, "mode %llx",
                  shown(modes[i]));
            CHECK(left == modes[i], "mode %llx became %llx", shown(modes[i]), shown(left));
            net_parameters(&p, net, i + threads == 1 ? first : weights);
            if (i + threads == 1) memcpy(weights, first, bytes);
            CHECK(memcmp(first, weights, bytes) == 0, "mode %llx changed the weights",
                  shown(modes[i]));
            set_mode(modes[i]);
            const uint64_t polled = mode_in_poll(net, &data);
            set_mode(caller);
            CHECK(polled == modes[i], "mode %llx was %llx in poll", shown(modes[i]), shown(polled));
            fbp_net_destroy(net);
        }
    free(first), free(weights);
    samples_free(&s);
    trainer_free(&t);
}
#endif

int main(void)
{
    for (int i = 0; i < 10; i++) { /* wherever in a step the poll falls */
        test_stop(1, 1);
        test_stop(3, 1 + i % 3);
    }
    test_stop_of_others();
#if defined(__x86_64__) || defined(__aarch64__)
    test_floating_point_environment();
#endif
    return check_done("stops");
}
