/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping: a call that the poll function ends leaves the weights of whole updates, or nothing.
 */
#include <limits.h>
#include <time.h>

#include "form.h"
#include "trainer.h"

static int stop_at(void *context) { return --*(int *)context == 0; }

/* A call stopped at some poll leaves the weights of just the updates it counts. */
static void test_stop(int64_t width, int64_t batch, int n_threads, int polls, int by_layer)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    p.units[0] = p.units[1] = width;
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
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), n_threads, batch);
    CHECK(fbp_train(net, &data, order, n_order, batch, &step, &progress) == FBP_ESTOPPED,
          "stopped");
    CHECK(polls <= 0 && progress.n_rows < n_order, "stopped by a poll");
    CHECK(progress.n_rows == batch * progress.n_steps, "whole updates");
    CHECK(fbp_net_get_step_count(net) == progress.n_steps, "step count");
    CHECK(net->by_layer == by_layer, "%d threads: by layer: %d", n_threads, net->by_layer);
    net_parameters(&p, net, stopped);
    fbp_net_destroy(net);

    net = net_of(&t, fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), 1, batch);
    CHECK(fbp_train(net, &data, order, progress.n_rows, batch, &usual, &expected) == FBP_OK,
          "again");
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

/* A poll function that takes longer than the time between two questions, so that the next one follows
 * as soon as the core can ask. */
typedef struct {
    int calls, stop_at;
} slow_poll;

static int ask_slowly(void *context)
{
    slow_poll *poll = context;
    const struct timespec pause = {0, 25000000};
    nanosleep(&pause, NULL);
    return ++poll->calls == poll->stop_at;
}

static int due_at(void *context, int thread)
{
    (void)thread;
    return stop_at(context);
}

/* A net that is asked before each update, and after each piece of a product. */
static fbp_net *impatient_net(const trainer *t, int n_threads, int64_t rows)
{
    fbp_net *net = net_of(t, fbp_isa_best(t->p->real, FBP_PRECISION_HIGHEST), n_threads, rows);
    net->work_at_once = 0;
    return net;
}

/* Steps that a call has done which is stopped at some question; its weights are theirs. */
static int64_t steps_until(const trainer *t, const fbp_data *data, int n_threads, int64_t chunk,
                           int stop_at)
{
    const problem *p = t->p;
    const size_t bytes = (size_t)n_parameters(p) * sizeof(double);
    void *stopped = allocate(bytes), *again = allocate(bytes);
    slow_poll poll = {0, stop_at};
    fbp_step step = p->step;
    step.poll = ask_slowly, step.poll_context = &poll;
    fbp_progress progress = {0}, expected = {0};
    fbp_net *net = impatient_net(t, n_threads, 50), *whole = impatient_net(t, 1, 50);
    net->chunk = chunk;
    CHECK(fbp_train(net, data, NULL, p->n_rows, 50, &step, &progress) == FBP_ESTOPPED, "stopped");
    CHECK(poll.calls == stop_at, "asked %d times, not %d", poll.calls, stop_at);
    if (progress.n_rows > 0)
        CHECK(fbp_train(whole, data, NULL, progress.n_rows, 50, &p->step, &expected) == FBP_OK, "");
    net_parameters(p, net, stopped);
    net_parameters(p, whole, again);
    CHECK(memcmp(stopped, again, bytes) == 0, "stop %d: weights of a torn update", stop_at);
    CHECK(memcmp(&progress, &expected, sizeof progress) == 0, "stop %d: progress", stop_at);
    fbp_net_destroy(net), fbp_net_destroy(whole);
    free(stopped), free(again);
    return progress.n_steps;
}

/* Whether such a call has done so many steps. Beside a busy neighbour some 20 ms may pass anywhere, and a
 * question come before the one that is meant: then once more. */
static int comes_to(const trainer *t, const fbp_data *data, int n_threads, int64_t chunk,
                    int stop_at, int64_t n_steps)
{
    int found = 0;
    for (int tries = 0; tries < 20 && !found; tries++)
        found = steps_until(t, data, n_threads, chunk, stop_at) == n_steps;
    return found;
}

/* Where in a step a stop comes decides whether the step counts. A step asks before its update and in it;
 * after its update, the next step is asked in its first product, and in later ones. */
static void test_places(int n_threads)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    CHECK(comes_to(&t, &data, n_threads, 64, 1, 0), "before the update: dropped");
    CHECK(comes_to(&t, &data, n_threads, 64, 2, 1), "in the update: done");
    if (n_threads == 1)
        for (int stop_at = 3; stop_at < 6; stop_at++) /* asked after every task */
            CHECK(comes_to(&t, &data, n_threads, 64, stop_at, 1), "in the next step: dropped");
    samples_free(&s);
    trainer_free(&t);
}

/* Where the gradient is only stored, between chunks or to be clipped, a stop drops the step at once. */
static void test_stored_gradients(int n_threads)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    p.step.max_grad_norm = 0.1;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    CHECK(comes_to(&t, &data, n_threads, 64, 2, 0), "to be clipped: dropped");
    p.step.max_grad_norm = 0;
    CHECK(comes_to(&t, &data, n_threads, 64, 2, 1), "not clipped");
    p.step.max_grad_norm = 1e30;
    CHECK(comes_to(&t, &data, n_threads, 32, 2, 0), "a chunk, but not the last: dropped");
    samples_free(&s);
    trainer_free(&t);
}

static void test_gradient_in_its_weights(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_GRADIENT);
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    double *grad = new_doubles(n_parameters(&p)), loss = 7;
    for (int stop_at = 1; stop_at <= 3; stop_at++) {
        slow_poll poll = {0, stop_at};
        fbp_step step = p.step;
        step.poll = ask_slowly, step.poll_context = &poll;
        fbp_net *net = impatient_net(&t, 1, p.n_rows);
        CHECK(fbp_loss_gradient(net, &data, &step, &loss, grad, NULL) == FBP_ESTOPPED, "stops");
        CHECK(poll.calls == stop_at && loss == 7 && grad[0] == 0, "stop %d", stop_at);
        fbp_net_destroy(net);
    }
    free(grad);
    samples_free(&s);
    trainer_free(&t);
}

/* A block of rows, stopped at each piece of its products. */
static void test_stop_in_a_block(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    fbp_net *net = impatient_net(&t, 1, 48);
    const int64_t nr = net->kernels->nr;
    const int forward = (int)(fbp_ceil_div(p.units[1], nr) + fbp_ceil_div(p.units[2], nr));
    const int backward = (int)fbp_ceil_div(p.units[1], nr); /* none for the inputs */
    for (int at = 1; at <= forward + 1; at++) {
        int left = at;
        fbp_stop stop = {due_at, &left, 0, 0};
        CHECK(fbp_forward_block(net, net->scratch, 0, 48, 48, &stop) == (at > forward),
              "forward, stopped at piece %d of %d", at, forward);
        CHECK(left == (at > forward), "forward, %d pieces: %d left", at, left);
    }
    for (int at = 1; at <= backward + 1; at++) {
        int left = at;
        fbp_stop stop = {due_at, &left, 0, 0};
        CHECK(fbp_backward_block(net, net->scratch, 0, 48, 48, &stop) == (at > backward),
              "backward, stopped at piece %d of %d", at, backward);
        CHECK(left == (at > backward), "backward, %d pieces: %d left", at, left);
    }
    fbp_net_destroy(net);
    trainer_free(&t);
}

/* Work is counted until there is enough of it to ask, and from 0 again after the question. */
static void test_work_between_questions(void)
{
    int left = 2;
    fbp_net net = {.work_at_once = 100, .kernels = fbp_kernels_find(FBP_ISA_REF, FBP_F32)};
    const int64_t nr = net.kernels->nr;
    fbp_stop stop = {due_at, &left, 0, 0};
    CHECK(!fbp_stop_after(&stop, &net, 60) && left == 2, "too little to ask");
    CHECK(!fbp_stop_after(&stop, &net, 40) && left == 1, "just enough");
    CHECK(!fbp_stop_after(&stop, &net, 99) && left == 1, "too little again");
    CHECK(fbp_stop_after(&stop, &net, 2) && left == 0, "enough, and to stop");
    CHECK(fbp_panels_at_once(&net, 1000, 1000) == 1, "a panel at least");
    net.work_at_once = 3.5 * 10 * 20 * (double)nr;
    CHECK(fbp_panels_at_once(&net, 10, 20) == 3, "whole panels");
    net.work_at_once = 1e30;
    CHECK(fbp_panels_at_once(&net, 1, 1) == INT32_MAX, "as many as there are");
}

/* Wherever in a block of rows the stop falls, the gradient's call leaves its outputs alone. Once a poll
 * was slow, each piece of a product asks; in a block there are some 17 forward and 16 backward. */
static void test_gradient_in_its_rows(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_GRADIENT);
    p.units[0] = 10, p.units[1] = 64, p.n_rows = 100000;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    double *grad = new_doubles(n_parameters(&p)), loss = 7;
    for (int stop_at = 1; stop_at <= 25; stop_at += 8) {
        slow_poll poll = {0, stop_at};
        fbp_step step = p.step;
        step.poll = ask_slowly, step.poll_context = &poll;
        fbp_net *net = net_of(&t, FBP_ISA_REF, 1, p.n_rows);
        net->work_at_once = 0;
        CHECK(fbp_loss_gradient(net, &data, &step, &loss, grad, NULL) == FBP_ESTOPPED, "stops");
        CHECK(poll.calls == stop_at && loss == 7 && grad[0] == 0, "stop %d", stop_at);
        fbp_net_destroy(net);
    }
    free(grad);
    samples_free(&s);
    trainer_free(&t);
}

/* In a prediction, between pieces of its products; a check of rows. */
static void test_stop_of_readers(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_GRADIENT);
    p.units[1] = 2000, p.n_rows = 20000;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    double *out = new_doubles(3 * p.n_rows);
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        fbp_net *net = net_of(&t, FBP_ISA_REF, n_threads, 0);
        net->work_at_once = 0;
        slow_poll poll = {0, 2};
        CHECK(fbp_predict(net, &data.x, 0, ask_slowly, &poll, FBP_F64, out) == FBP_ESTOPPED,
              "predict stops");
        CHECK(poll.calls == 2, "asked %d times", poll.calls);
        fbp_net_destroy(net);
    }
    free(out);
    samples_free(&s);
    trainer_free(&t);

    const int64_t n = INT64_C(1) << 26; /* half a gigabyte of zeros, which no memory is used for */
    void *zeros = allocate((size_t)n * sizeof(double));
    const fbp_matrix x = {.n_rows = n / 64, .n_cols = 64, .real = FBP_F64, .data = zeros, .ld = 64};
    int polls = 1;
    CHECK(fbp_check_rows(&x, FBP_F32, FBP_ISA_REF, 1, stop_at, &polls) == FBP_ESTOPPED,
          "a check stops");
    free(zeros);
}

/* Batches are held in chunks so short that none takes long to update from; the bits are the same. */
static void test_chunks(void)
{
    problem p = usual_problem(FBP_LOSS_LOG_LOSS, FBP_SOLVER_ADAM);
    p.step.max_grad_norm = 1e30; /* gradients are stored */
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    void *whole = allocate(bytes), *parts = allocate(bytes);
    for (int64_t chunk = 128; chunk >= 32; chunk /= 2) {
        fbp_progress progress;
        fbp_net *net = net_of(&t, fbp_isa_best(FBP_F64, FBP_PRECISION_HIGHEST), 2, 100);
        net->chunk = chunk;
        CHECK(fbp_train(net, &data, NULL, 100, 100, &p.step, &progress) == FBP_OK, "train");
        net_parameters(&p, net, chunk == 128 ? whole : parts);
        CHECK(chunk == 128 || memcmp(whole, parts, bytes) == 0, "chunks of %d", (int)chunk);
        fbp_net_destroy(net);
    }
    free(whole), free(parts);
    samples_free(&s);
    trainer_free(&t);

    const int64_t units[] = {1024, 2048, 2048, 10}, few[] = {64, 32, 10};
    fbp_spec spec = {.n_layers = 3, .units = units, .max_rows = 4096};
    fbp_net net = {.kernels = fbp_kernels_find(FBP_ISA_REF, FBP_F32),
                   .real_bytes = sizeof(float),
                   .isa = FBP_ISA_REF,
                   .solver = FBP_SOLVER_ADAM,
                   .n_threads = 1};
    const int64_t slow = fbp_chunk_rows(&net, &spec);
    CHECK(slow == 32, "%d rows of a wide net on one thread of ref", (int)slow);
    net.n_threads = 1024;
    const int64_t quick = fbp_chunk_rows(&net, &spec);
    CHECK(quick == FBP_CHUNK_ROWS, "%d rows on many threads", (int)quick);
    net.n_threads = 1;
    net.solver = FBP_SOLVER_GRADIENT;
    CHECK(fbp_chunk_rows(&net, &spec) == FBP_CHUNK_ROWS, "a net that updates nothing");
    net.solver = FBP_SOLVER_ADAM;
    spec.max_batch_nonzeros = 4096;
    net.n_threads = 100;
    const int64_t dense = fbp_chunk_rows(&net, &spec);
    net.sparse.used = 1;
    CHECK(fbp_chunk_rows(&net, &spec) > dense, "hardly any inputs");
    net.sparse.used = 0;
    spec.n_layers = 2, spec.units = few;
    CHECK(fbp_chunk_rows(&net, &spec) == FBP_CHUNK_ROWS, "a small net");
}

/* Counts its calls, and never stops. */
static int count_calls(void *context)
{
    ++*(int *)context;
    return 0;
}

/* A net whose updates take far too long, so that all but the least rows of a batch go before; or not. */
static fbp_net *cut_net(const trainer *t, int n_threads, int cuts)
{
    fbp_net *net = impatient_net(t, n_threads, t->p->n_rows);
    net->cuts_updates = cuts;
    net->update_nanoseconds = 1e6;
    return net;
}

/* An update that would take too long is cut; the bits are the same, and all before the last rows can be
 * dropped. */
static void test_cut_updates(int n_threads)
{
    problem p = usual_problem(FBP_LOSS_LOG_LOSS, FBP_SOLVER_ADAM);
    p.n_rows = 300;           /* few, so that no question is for the time's sake */
    p.step.max_grad_norm = 1; /* so that there is room for the gradient */
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    const size_t bytes = (size_t)n_parameters(&p) * sizeof(double);
    void *whole = allocate(bytes), *parts = allocate(bytes);
    fbp_step step = p.step;
    int least[2] = {INT_MAX, INT_MAX}; /* a slow run is asked for the time that it takes, too */
    step.max_grad_norm = 0, step.poll = count_calls;
    for (int run = 0; run < 2 * 8; run++) {
        const int cuts = run % 2;
        int calls = 0;
        fbp_progress progress;
        fbp_net *net = cut_net(&t, n_threads, cuts);
        step.poll_context = &calls;
        const fbp_status status = fbp_train(net, &data, NULL, p.n_rows, p.n_rows, &step, &progress);
        CHECK(status == FBP_OK && progress.n_steps == 1, "train");
        CHECK(net->slowness < 1, "what the update took is known");
        net_parameters(&p, net, cuts ? parts : whole);
        fbp_net_destroy(net);
        if (calls < least[cuts]) least[cuts] = calls;
    }
    CHECK(least[0] > 1 || least[1] > 1, "asked %d times, uncut %d", least[1], least[0]);
    CHECK(memcmp(whole, parts, bytes) == 0, "cut in two");
    for (int cuts = 0; cuts <= 1; cuts++) { /* asked before an update, and in it */
        int64_t done = 1 - cuts;
        for (int tries = 0; tries < 20 && done != !cuts; tries++) {
            fbp_progress progress;
            slow_poll poll = {0, 2};
            fbp_net *net = cut_net(&t, n_threads, cuts);
            step.poll = ask_slowly, step.poll_context = &poll;
            (void)fbp_train(net, &data, NULL, p.n_rows, p.n_rows, &step, &progress);
            done = progress.n_steps;
            fbp_net_destroy(net);
        }
        CHECK(done == !cuts, "%d updates done, %s", (int)done, cuts ? "cut" : "uncut");
    }
    free(whole), free(parts);
    samples_free(&s);
    trainer_free(&t);
}

/* How many rows go before depends on threads, and on what updates took. */
static void test_rows_before_updates(void)
{
    fbp_net net = {.kernels = fbp_kernels_find(FBP_ISA_REF, FBP_F32),
                   .real_bytes = sizeof(float),
                   .isa = FBP_ISA_REF,
                   .cuts_updates = 1,
                   .update_nanoseconds = 120e3,
                   .slowness = 1};
    CHECK(fbp_rows_before_update(&net, 1024, 2) == 0, "short on two threads");
    CHECK(fbp_rows_before_update(&net, 1024, 1) == 672, "long on one");
    CHECK(fbp_rows_before_update(&net, 500, 1) == 0, "short on one");
    const double slow = fbp_update_slowness(&net, 1024, 2, 180 * INT64_C(1000000));
    CHECK(slow > 2 && slow < 3, "%f times as long", slow);
    fbp_update_learn(&net, slow);
    CHECK(net.slowness == slow, "slower at once");
    CHECK(fbp_rows_before_update(&net, 1024, 2) > 700, "long on two threads now");
    fbp_update_learn(&net, 1);
    CHECK(net.slowness > 1 && net.slowness < slow, "quicker by and by");
    fbp_update_learn(&net, 1e9);
    CHECK(net.slowness <= 4, "no longer than a neighbour explains");
    net.cuts_updates = 0;
    CHECK(fbp_rows_before_update(&net, 1024, 1) == 0, "no room for the gradient");
}

/* Copying a large layer in and out stops, too. */
static void test_stop_of_copies(int n_threads)
{
    const int64_t units[] = {20000, 10000};
    const fbp_spec spec = {.n_layers = 1, .units = units, .n_threads = n_threads};
    void *coef = allocate((size_t)(units[0] * units[1]) * sizeof(float)); /* zeros: no memory yet */
    void *intercept = allocate((size_t)units[1] * sizeof(float));
    fbp_net *net;
    CHECK(fbp_net_create(&spec, &net) == FBP_OK, "net");
    for (int out = 0; out <= 1; out++) {
        int polls = 1;
        fbp_net_ask(net, stop_at, &polls);
        const fbp_status status = out ? fbp_net_get_layer(net, 0, coef, intercept)
                                      : fbp_net_set_layer(net, 0, coef, intercept);
        CHECK(status == FBP_ESTOPPED && polls == 0, "%s stops", out ? "out" : "in");
    }
    fbp_net_destroy(net);
    free(coef), free(intercept);
}

int main(void)
{
    for (int i = 0; i < 10; i++) { /* wherever in a step the poll falls */
        test_stop(40, 50, 1, 1, 0);
        test_stop(40, 50, 3, 1 + i % 3, 0);
        test_stop(300, 4, 2, 1, 1);
    }
    test_stop_of_others();
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        test_places(n_threads);
        test_stored_gradients(n_threads);
        test_cut_updates(n_threads);
        test_stop_of_copies(n_threads);
    }
    test_stop_in_a_block();
    test_work_between_questions();
    test_gradient_in_its_rows();
    test_gradient_in_its_weights();
    test_stop_of_readers();
    test_chunks();
    test_rows_before_updates();
    return check_done("stops");
}
