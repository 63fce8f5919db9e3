/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping: a call that the poll function ends leaves the weights of whole updates, or nothing.
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

int main(void)
{
    for (int i = 0; i < 10; i++) { /* wherever in a step the poll falls */
        test_stop(1, 1);
        test_stop(3, 1 + i % 3);
    }
    test_stop_of_others();
    return check_done("stops");
}
