/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A training step in two phases (B rows in the batch):
 *
 *     rows      each thread carries its blocks of rows forward, through the loss, and back
 *     barrier
 *     weights   each thread computes its tiles of aᵀ · delta over all B rows and updates them
 *     barrier
 *
 * Rows do not depend on one another, nor do tiles of weights, so no thread waits inside a phase and
 * nothing is reduced across threads: the bits are the same for any number of them. One parallel
 * region covers a chunk of steps, some milliseconds; between chunks pace.c chooses the number of
 * threads. A batch of more than FBP_CHUNK_ROWS rows runs both phases
 * once per chunk, the gradient reloaded as the accumulator.
 *
 * Thread 0 also prepares each step, adds up the losses and asks whether to stop: a stop seen in the
 * rows phase drops the step, one seen in the weights phase comes after it, so that the weights are
 * always those after whole updates. The two have a flag each, because a thread may read the one after
 * a barrier while thread 0 is already in the next phase and would write the other.
 */
#include <math.h>

#include "data.h"
#include "internal.h"
#include "phases.h"
#include "tasks.h"
#include "team.h"

typedef struct {
    fbp_net *net;
    const fbp_data *data;
    const int64_t *order;
    int64_t n_order, batch_rows;
    int64_t begin, end; /* of the chunk of steps, in order */
    const fbp_step *step;
    fbp_progress *progress;
    fbp_team team;
    fbp_poller poller;
    /* Written by thread 0 in one phase, read by all after the barrier that ends it. */
    atomic_int stop_in_rows, stop_in_weights;
    fbp_update update;
    double weight_sum, loss_sum;
} training;

/* Numbers of the batch that begins at `first`. */
static void prepare_step(training *t, int64_t first, int64_t rows)
{
    fbp_net *net = t->net;
    const fbp_step *step = t->step;
    t->loss_sum = 0;
    t->weight_sum = fbp_sum_weights(net, t->data->weights, t->order, first, rows);
    if (!(t->weight_sum > 0)) return;
    t->update = (fbp_update){
        .alpha = step->alpha,
        .scale = 1 / t->weight_sum,
        .learning_rate = step->learning_rate,
        .momentum = step->momentum,
        .beta_1 = step->beta_1,
        .beta_2 = step->beta_2,
        .epsilon = step->epsilon,
    };
    if (net->solver == FBP_SOLVER_ADAM) {
        const double power_1 = net->beta_1_power * step->beta_1;
        const double power_2 = net->beta_2_power * step->beta_2;
        t->update.learning_rate *= sqrt(1 - power_2) / (1 - power_1);
    }
}

/* Forward, loss and backward for this thread's share of a chunk. */
static void rows_phase(training *t, int64_t first, int64_t rows, int thread, int n_threads)
{
    fbp_net *net = t->net;
    const fbp_kernels *k = net->kernels;
    const fbp_layer *input = &net->layers[0], *output = &net->layers[net->n_layers - 1];
    fbp_scratch *scratch = &net->scratch[thread];
    int64_t begin, end;
    fbp_share(fbp_ceil_div(rows, k->mr), thread, n_threads, &begin, &end);
    for (int64_t row = begin * k->mr; row < end * k->mr; row += net->block) {
        const int64_t padded = fbp_min(net->block, end * k->mr - row);
        const int64_t n = fbp_min(padded, rows - row);
        fbp_gather_x(net, &t->data->x, t->order, first + row, n, fbp_at(net, input->a, row * k->nr),
                     input->a_stride);
        fbp_gather_y(net, t->data, t->order, first + row, n, scratch);
        fbp_phase_mark(thread, FBP_PHASE_GATHER);
        fbp_forward_block(net, row, padded);
        fbp_phase_mark(thread, FBP_PHASE_FORWARD);
        k->loss[net->loss](n, net->n_out,
                           fbp_at(net, output->delta, output->column ? row : row * k->nr),
                           output->delta_stride, scratch->y,
                           t->data->weights ? scratch->weights : NULL, net->row_loss + row);
        fbp_phase_mark(thread, FBP_PHASE_LOSS);
        fbp_backward_block(net, row, padded);
        fbp_phase_mark(thread, FBP_PHASE_BACKWARD);
        if (thread == 0 && fbp_poll_due(&t->poller)) atomic_store(&t->stop_in_rows, 1);
        if (atomic_load_explicit(&t->stop_in_rows, memory_order_relaxed)) return;
    }
}

/* This thread's tasks over a chunk; thread 0 adds up the rows' losses. */
static void weights_phase(training *t, int64_t rows, const fbp_update *update, int thread)
{
    fbp_net *net = t->net;
    for (int32_t i = net->task_begin[thread]; i < net->task_begin[thread + 1]; i++) {
        fbp_update_task(net, &net->tasks[net->task_order[i]], rows, update);
        if (thread == 0 && fbp_poll_due(&t->poller)) atomic_store(&t->stop_in_weights, 1);
    }
    if (thread == 0)
        for (int64_t r = 0; r < rows; r++)
            t->loss_sum += net->row_loss[r];
}

/* ΣW² before the update: the partial sums in index order. */
static double sum_squares(const fbp_net *net)
{
    double sum = 0;
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        for (int64_t i = 0; i < layer->n_squares; i++)
            sum += net->real == FBP_F32 ? (double)((const float *)layer->squares)[i]
                                        : ((const double *)layer->squares)[i];
    }
    return sum;
}

/* Thread 0, after a whole step. */
static void finish_step(training *t, int64_t rows)
{
    fbp_net *net = t->net;
    t->progress->n_rows += rows;
    if (!(t->weight_sum > 0)) return;
    double loss = t->loss_sum / t->weight_sum;
    if (t->step->alpha > 0) loss += 0.5 * t->step->alpha * sum_squares(net) / t->weight_sum;
    t->progress->loss_sum += loss * (double)rows;
    t->progress->n_steps++;
    net->step_count++;
    net->beta_1_power *= t->step->beta_1;
    net->beta_2_power *= t->step->beta_2;
}

/* Both phases for every chunk of a batch; 0 when stopped before the update. */
static int run_step(training *t, int64_t first, int64_t rows, int thread, int n_threads)
{
    for (int64_t begin = 0; begin < rows; begin += FBP_CHUNK_ROWS) {
        const int64_t chunk = fbp_min(FBP_CHUNK_ROWS, rows - begin);
        rows_phase(t, first + begin, chunk, thread, n_threads);
        fbp_team_barrier(&t->team, n_threads);
        fbp_phase_mark(thread, FBP_PHASE_WAIT);
        if (atomic_load(&t->stop_in_rows)) return 0;
        if (t->weight_sum > 0) {
            fbp_update update = t->update;
            update.first = begin == 0;
            update.last = begin + chunk == rows;
            weights_phase(t, chunk, &update, thread);
        }
        fbp_phase_mark(thread, FBP_PHASE_WEIGHTS);
        fbp_team_barrier(&t->team, n_threads);
        fbp_phase_mark(thread, FBP_PHASE_WAIT);
    }
    return 1;
}

static void train_body(void *context, int thread, int n_threads)
{
    training *t = context;
    if (thread == 0) fbp_plan_tasks(t->net, n_threads);
    fbp_team_barrier(&t->team, n_threads);
    for (int64_t first = t->begin; first < t->end; first += t->batch_rows) {
        const int64_t rows = fbp_min(t->batch_rows, t->end - first);
        if (thread == 0) prepare_step(t, first, rows);
        fbp_phase_mark(thread, FBP_PHASE_PREPARE);
        if (!run_step(t, first, rows, thread, n_threads)) return;
        if (thread == 0) finish_step(t, rows);
        fbp_phase_mark(thread, FBP_PHASE_PREPARE);
        if (atomic_load(&t->stop_in_weights)) return;
    }
}

/* All the batches, in chunks of steps. */
static fbp_status run_chunks(training *t)
{
    fbp_net *net = t->net;
    const int64_t tiles = fbp_ceil_div(fbp_min(t->batch_rows, FBP_CHUNK_ROWS), net->kernels->mr);
    for (t->begin = 0; t->begin < t->n_order; t->begin = t->end) {
        const int64_t share = fbp_team_enter(net->n_threads);
        const int n_threads = fbp_pace_threads(&net->pace, (int)fbp_min(share, tiles));
        t->end = fbp_min(t->n_order, t->begin + fbp_pace_rows(&net->pace, t->batch_rows));
        const int64_t start = fbp_nanoseconds();
        fbp_team_run(n_threads, train_body, t);
        fbp_pace_report(&net->pace, t->end - t->begin, fbp_nanoseconds() - start);
        fbp_team_leave();
        if (atomic_load(&t->stop_in_rows) || atomic_load(&t->stop_in_weights)) return FBP_ESTOPPED;
    }
    return FBP_OK;
}

/* The same, with what the caller sees: progress, its poll function, its floating-point environment. */
static fbp_status run(training *t)
{
    *t->progress = (fbp_progress){0};
    t->poller = fbp_poller_start(t->step->poll, t->step->poll_context);
    const uint64_t fpenv = fbp_fpenv_enter();
    const fbp_status status = run_chunks(t);
    fbp_fpenv_leave(fpenv);
    return status;
}

fbp_status fbp_train(fbp_net *net, const fbp_data *data, const int64_t *order, int64_t n_order,
                     int64_t batch_rows, const fbp_step *step, fbp_progress *progress)
{
    if (!net || !step || !progress || net->solver == FBP_SOLVER_GRADIENT) return FBP_EINVAL;
    if (batch_rows < 1 || batch_rows > net->max_rows || !fbp_data_is_valid(net, data) ||
        !fbp_order_is_valid(order, n_order, data->x.n_rows))
        return FBP_EINVAL;
    training t = {
        .net = net,
        .data = data,
        .order = order,
        .n_order = n_order,
        .batch_rows = batch_rows,
        .step = step,
        .progress = progress,
    };
    return run(&t);
}

/* Every layer's gradient, unpacked: all dL/dW, then all dL/db. */
static void take_gradient(const fbp_net *net, void *grad)
{
    int64_t at = 0;
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        void *out = fbp_at(net, grad, at);
        if (layer->column)
            memcpy(out, layer->gw, (size_t)layer->fan_in * net->real_bytes);
        else
            net->kernels->unpack(layer->fan_in, layer->fan_out, layer->gw, out);
        at += layer->fan_in * layer->fan_out;
    }
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        memcpy(fbp_at(net, grad, at), layer->gb, (size_t)layer->fan_out * net->real_bytes);
        at += layer->fan_out;
    }
}

fbp_status fbp_loss_gradient(fbp_net *net, const fbp_data *data, const fbp_step *step, double *loss,
                             void *grad)
{
    if (!net || !step || !loss || !grad || net->solver != FBP_SOLVER_GRADIENT || net->max_rows < 1)
        return FBP_EINVAL;
    if (!fbp_data_is_valid(net, data) || data->x.n_rows < 1 || data->x.n_rows > net->max_rows)
        return FBP_EINVAL;
    fbp_progress progress;
    training t = {
        .net = net,
        .data = data,
        .n_order = data->x.n_rows,
        .batch_rows = data->x.n_rows,
        .step = step,
        .progress = &progress,
    };
    const fbp_status status = run(&t);
    if (status != FBP_OK) return status;
    if (progress.n_steps == 0) /* Σ weights is zero */
        return FBP_EINVAL;
    const uint64_t fpenv = fbp_fpenv_enter();
    *loss = progress.loss_sum / (double)data->x.n_rows;
    fbp_fpenv_leave(fpenv);
    take_gradient(net, grad);
    return FBP_OK;
}
