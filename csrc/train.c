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
 * nothing is reduced across threads: the bits are the same for any number of them. (With few rows for
 * many threads, the rows phase goes layer by layer instead: form.h.) One parallel
 * region covers a chunk of steps, some milliseconds; between chunks pace.c chooses the number of
 * threads. A batch of more than FBP_CHUNK_ROWS rows runs both phases
 * once per chunk, the gradient reloaded as the accumulator. To clip it, the weights phase only stores the
 * gradient and its squares; thread 0 finds the norm, and a third phase has the solver:
 *
 *     weights   store the gradient       barrier       norm       barrier       solver       barrier
 *
 * Thread 0 also prepares each step, adds up the losses and asks whether to stop: a stop seen in the
 * rows phase drops the step, so does one seen in a weights phase that only stores the gradient; one seen
 * while weights change comes after the step. So the weights are always those after whole updates. The two
 * phases have a flag each, because a thread may read the one after
 * a barrier while thread 0 is already in the next phase and would write the other.
 */
#include <math.h>

#include "data.h"
#include "dropout.h"
#include "form.h"
#include "gradient.h"
#include "loss.h"
#include "phases.h"
#include "sparse.h"
#include "split.h"
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
    double slowness;        /* of the slowest update of the chunk of steps, see form.h; or 0 */
    int asks_before_update; /* since that takes long */
    int clips;              /* to step->max_grad_norm */
    void *delta;            /* out: the first layer's, of all rows; or NULL */
} training;

/* Numbers of the batch that begins at `first`. */
static void prepare_step(training *t, int64_t first, int64_t rows)
{
    fbp_net *net = t->net;
    const fbp_step *step = t->step;
    t->loss_sum = 0;
    t->weight_sum = fbp_sum_weights(net, t->data->weights, t->order, first, rows);
    if (!(t->weight_sum > 0)) return;
    const double *rates = step->learning_rates;
    const double rate = rates ? rates[first / t->batch_rows] : step->learning_rate;
    t->update = (fbp_update){
        .alpha = step->alpha,
        .scale = 1 / t->weight_sum,
        .learning_rate = rate,
        .decay = rate * step->weight_decay,
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

/* Whether to leave the rows phase; thread 0 asks the caller. */
static int must_stop(void *context, int thread)
{
    training *t = context;
    if (thread == 0 && fbp_poll_due(&t->poller)) atomic_store(&t->stop_in_rows, 1);
    return atomic_load_explicit(&t->stop_in_rows, memory_order_relaxed);
}

/* Rows row … row + n − 1 of the chunk of `rows` rows. */
static void gather_rows(training *t, int64_t first, int64_t rows, int64_t row, int64_t n,
                        int thread)
{
    if (t->net->sparse.used) {
        fbp_sparse_gather(t->net, &t->data->x, t->order, first, rows, row, n,
                          &t->net->scratch[thread]);
        return;
    }
    const fbp_layer *input = &t->net->layers[0];
    fbp_gather_x(t->net, &t->data->x, t->order, first + row, n,
                 fbp_at(t->net, input->a, row * t->net->kernels->nr), input->a_stride);
}

/* z → delta, of n rows. */
static void loss_of_rows(training *t, int64_t first, int64_t row, int64_t n, int thread)
{
    fbp_net *net = t->net;
    const fbp_kernels *k = net->kernels;
    const fbp_layer *output = &net->layers[net->n_layers - 1];
    fbp_scratch *scratch = &net->scratch[thread];
    const fbp_targets targets = {.y = scratch->y,
                                 .weights = t->data->weights ? scratch->weights : NULL,
                                 .parameters = net->loss_parameters,
                                 .label_smoothing = t->step->label_smoothing};
    fbp_gather_y(net, t->data, t->order, first + row, n, scratch);
    fbp_phase_mark(thread, FBP_PHASE_GATHER);
    k->loss[net->loss](n, net->n_out,
                       fbp_at(net, output->delta, output->column ? row : row * k->nr),
                       output->delta_stride, &targets, net->row_loss + row);
    fbp_phase_mark(thread, FBP_PHASE_LOSS);
}

/* Forward, loss and backward for this thread's share of a chunk. */
static void rows_through_layers(training *t, int64_t first, int64_t rows, int thread, int n_threads)
{
    fbp_net *net = t->net;
    const int64_t step = net->row_step;
    fbp_scratch *scratch = &net->scratch[thread];
    fbp_stop stop = {must_stop, t, thread, 0};
    int64_t begin, end;
    fbp_split_enter(net);
    fbp_share(fbp_ceil_div(rows, step), thread, n_threads, &begin, &end);
    for (int64_t row = begin * step; row < end * step; row += net->block) {
        const int64_t padded = fbp_min(net->block, end * step - row);
        const int64_t n = fbp_min(padded, rows - row);
        gather_rows(t, first, rows, row, n, thread);
        fbp_phase_mark(thread, FBP_PHASE_GATHER);
        if (!fbp_forward_block(net, scratch, row, padded, rows, &stop)) break;
        fbp_phase_mark(thread, FBP_PHASE_FORWARD);
        loss_of_rows(t, first, row, n, thread);
        if (!fbp_backward_block(net, scratch, row, padded, rows, &stop)) break;
        fbp_phase_mark(thread, FBP_PHASE_BACKWARD);
        if (must_stop(t, thread)) break;
    }
    fbp_split_leave(net);
}

typedef void cell_fn(fbp_net *net, int l, fbp_cell cell);

/* This thread's cell of one product, block by block, then the barrier. */
static void share_product(training *t, int l, cell_fn *product, fbp_grid grid, int64_t columns,
                          int64_t rows, int thread, int n_threads)
{
    fbp_net *net = t->net;
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[l];
    const int64_t step = net->row_step;
    const int64_t depth = product == fbp_forward_cell ? layer->fan_in : layer->fan_out;
    if (thread < grid.rows * grid.columns) {
        int64_t begin, end;
        fbp_cell cell = {0};
        fbp_split_enter(net);
        fbp_share(fbp_ceil_div(rows, step), thread / grid.columns, grid.rows, &begin, &end);
        fbp_share(fbp_ceil_div(columns, k->nr), thread % grid.columns, grid.columns,
                  &cell.first_panel, &cell.end_panel);
        for (cell.row = begin * step; cell.row < end * step && !must_stop(t, thread);
             cell.row += cell.rows) {
            cell.rows = fbp_min(net->block, end * step - cell.row);
            if (layer->split) cell.tiles = net->tiles + fbp_split_row(net, cell.row, depth);
            if (cell.first_panel < cell.end_panel) product(net, l, cell);
        }
        fbp_split_leave(net);
    }
    fbp_phase_mark(thread, product == fbp_forward_cell ? FBP_PHASE_FORWARD : FBP_PHASE_BACKWARD);
    fbp_team_barrier(&t->team, n_threads);
    fbp_phase_mark(thread, FBP_PHASE_WAIT);
}

/* Where layer l is split: its a, or delta, of this thread's rows, for all threads; then the barrier. */
static void split_shared(training *t, int l, int forward, int64_t rows, int thread, int n_threads)
{
    const fbp_net *net = t->net;
    const fbp_layer *layer = &net->layers[l];
    int64_t begin, end;
    if (!layer->split) return;
    fbp_share(fbp_ceil_div(rows, net->row_step), thread, n_threads, &begin, &end);
    const int64_t row = begin * net->row_step, n = (end - begin) * net->row_step;
    const int64_t at = fbp_split_row(net, row, forward ? layer->fan_in : layer->fan_out);
    if (n > 0 && forward)
        fbp_split_a(net, layer, fbp_at(net, layer->a, row * net->kernels->nr), layer->a_stride,
                    net->tiles + at, row, n, rows);
    else if (n > 0)
        fbp_split_delta(net, layer, l > 0 ? net->tiles + at : NULL, row, n, rows);
    fbp_team_barrier(&t->team, n_threads);
}

/* The same rows, layer by layer. */
static void layers_over_rows(training *t, int64_t first, int64_t rows, int thread, int n_threads)
{
    fbp_net *net = t->net;
    int64_t begin, end;
    fbp_share(rows, thread, n_threads, &begin, &end);
    gather_rows(t, first, rows, begin, end - begin, thread);
    fbp_team_barrier(&t->team, n_threads);
    for (int l = 0; l < net->n_layers; l++) {
        split_shared(t, l, 1, rows, thread, n_threads);
        share_product(t, l, fbp_forward_cell, net->layers[l].forward_grid, net->layers[l].fan_out,
                      rows, thread, n_threads);
    }
    for (int64_t row = begin; row < end; row += net->block)
        loss_of_rows(t, first, row, fbp_min(net->block, end - row), thread);
    fbp_team_barrier(&t->team, n_threads);
    for (int l = net->n_layers - 1; l > 0; l--) {
        split_shared(t, l, 0, rows, thread, n_threads);
        share_product(t, l, fbp_backward_cell, net->layers[l].backward_grid, net->layers[l].fan_in,
                      rows, thread, n_threads);
    }
    split_shared(t, 0, 0, rows, thread, n_threads);
}

/* Whether the weights phase changes weights, so that it has to be finished. */
static int changes_weights(const training *t, const fbp_update *update)
{
    return update->last && t->net->solver != FBP_SOLVER_GRADIENT;
}

/* This thread's tasks over a chunk; thread 0 adds up the rows' losses. With squares, what is stored is
 * the whole gradient, of which the norm will be taken. */
static void weights_phase(training *t, int64_t rows, const fbp_update *update, int squares,
                          int thread)
{
    fbp_net *net = t->net;
    const int drops = !changes_weights(t, update);
    for (int32_t i = net->task_begin[thread]; i < net->task_begin[thread + 1]; i++) {
        const fbp_task *task = &net->tasks[net->task_order[i]];
        if (drops && atomic_load_explicit(&t->stop_in_weights, memory_order_relaxed)) return;
        fbp_update_task(net, task, rows, update);
        if (squares) fbp_square_gradient(net, task, update);
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

/* The stored gradient, clipped, through the solver. */
static void update_clipped(training *t, int thread, int n_threads)
{
    if (thread == 0)
        t->update.scale *= fbp_clip_factor(t->net, t->update.scale, t->step->max_grad_norm);
    fbp_team_barrier(&t->team, n_threads);
    fbp_update update = t->update;
    update.last = 1;
    fbp_split_enter(t->net);
    weights_phase(t, 0, &update, 0, thread);
    fbp_split_leave(t->net);
    fbp_phase_mark(thread, FBP_PHASE_WEIGHTS);
    fbp_team_barrier(&t->team, n_threads);
    fbp_phase_mark(thread, FBP_PHASE_WAIT);
}

/* This thread's rows of the first layer's delta, out to the caller. */
static void take_delta(const training *t, int64_t first, int64_t rows, int thread, int n_threads)
{
    int64_t begin, end;
    fbp_share(rows, thread, n_threads, &begin, &end);
    if (begin < end)
        fbp_take_delta(t->net, begin, end - begin,
                       fbp_at(t->net, t->delta, (first + begin) * t->net->layers[0].fan_out));
}

/* Thread 0: an update took so long. */
static void note_update(training *t, int64_t rows, int n_threads, int64_t nanoseconds)
{
    const double slowness = fbp_update_slowness(t->net, rows, n_threads, nanoseconds);
    if (slowness > t->slowness) t->slowness = slowness;
}

/* Rows of a chunk, of the `rows` that a batch still has. */
static int64_t chunk_of(const training *t, int64_t rows, int n_threads)
{
    if (rows > t->net->chunk) return t->net->chunk;
    const int cuts = t->asks_before_update && !t->clips;
    const int64_t before = cuts ? fbp_rows_before_update(t->net, rows, n_threads) : 0;
    return before > 0 ? before : rows;
}

/* Both phases for every chunk of a batch; 0 when stopped before the update. */
static int run_step(training *t, int64_t first, int64_t rows, int thread, int n_threads)
{
    int clipped = 0;
    int64_t chunk;
    for (int64_t begin = 0; begin < rows; begin += chunk) {
        chunk = chunk_of(t, rows - begin, n_threads);
        (t->net->by_layer ? layers_over_rows : rows_through_layers)(t, first + begin, chunk, thread,
                                                                    n_threads);
        if (thread == 0 && t->asks_before_update && fbp_poll_now(&t->poller))
            atomic_store(&t->stop_in_rows, 1);
        fbp_team_barrier(&t->team, n_threads);
        fbp_phase_mark(thread, FBP_PHASE_WAIT);
        if (atomic_load(&t->stop_in_rows)) return 0;
        const int last = begin + chunk == rows;
        int drops = 0;
        const int64_t start = t->asks_before_update ? fbp_nanoseconds() : 0;
        if (thread == 0) /* for the next rows phase: no thread is in one now */
            fbp_dropout_prepare(t->net, t->step->dropout_seed,
                                t->net->step_count + (last && t->weight_sum > 0),
                                last ? 0 : begin + chunk);
        if (t->weight_sum > 0) {
            fbp_update update = t->update;
            update.first = begin == 0;
            clipped = last && t->clips;
            update.last = last && !clipped;
            drops = !changes_weights(t, &update);
            if (t->delta) take_delta(t, first + begin, chunk, thread, n_threads);
            if (t->net->sparse.used) {
                fbp_sparse_cut(t->net, chunk, thread, n_threads);
                fbp_phase_mark(thread, FBP_PHASE_GATHER);
                fbp_team_barrier(&t->team, n_threads);
                fbp_phase_mark(thread, FBP_PHASE_WAIT);
            }
            fbp_split_enter(t->net);
            weights_phase(t, chunk, &update, clipped, thread);
            fbp_split_leave(t->net);
        }
        fbp_phase_mark(thread, FBP_PHASE_WEIGHTS);
        fbp_team_barrier(&t->team, n_threads);
        fbp_phase_mark(thread, FBP_PHASE_WAIT);
        if (drops && atomic_load(&t->stop_in_weights)) return 0;
        if (thread == 0 && last && !drops && t->asks_before_update)
            note_update(t, chunk, n_threads, fbp_nanoseconds() - start);
    }
    if (clipped) update_clipped(t, thread, n_threads);
    return 1;
}

static void train_body(void *context, int thread, int n_threads)
{
    training *t = context;
    if (thread == 0) {
        fbp_plan_tasks(t->net, n_threads);
        fbp_plan_form(t->net, t->batch_rows, n_threads);
    }
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
    const int64_t most = fbp_most_threads(net, t->batch_rows);
    const double step = fbp_step_nanoseconds(net, t->batch_rows);
    for (t->begin = 0; t->begin < t->n_order; t->begin = t->end) {
        const int64_t share = fbp_team_enter(net->n_threads);
        const int n_threads = fbp_pace_threads(&net->pace, (int)fbp_min(share, most), step);
        t->end = fbp_min(t->n_order, t->begin + fbp_pace_rows(&net->pace, t->batch_rows));
        t->slowness = 0;
        const int64_t start = fbp_nanoseconds();
        fbp_team_run(n_threads, train_body, t);
        fbp_pace_report(&net->pace, t->end - t->begin, fbp_nanoseconds() - start);
        fbp_team_leave();
        if (t->slowness > 0) fbp_update_learn(net, t->slowness);
        if (atomic_load(&t->stop_in_rows) || atomic_load(&t->stop_in_weights)) return FBP_ESTOPPED;
    }
    return FBP_OK;
}

/* The same, with what the caller sees: progress, its poll function, its floating-point environment. */
static fbp_status run(training *t)
{
    *t->progress = (fbp_progress){0};
    t->poller = fbp_poller_start(t->step->poll, t->step->poll_context);
    t->asks_before_update = t->step->poll && fbp_update_is_long(t->net, t->batch_rows);
    fbp_dropout_prepare(t->net, t->step->dropout_seed, t->net->step_count, 0);
    const uint64_t fpenv = fbp_fpenv_enter();
    t->clips = t->clips && fbp_wants_clipping(t->step);
    const fbp_status status = run_chunks(t);
    fbp_fpenv_leave(fpenv);
    return status;
}

/* Whether a step's numbers make sense, as training compares and rounds them. */
static int step_is_valid(const fbp_net *net, const fbp_step *step)
{
    const uint64_t fpenv = fbp_fpenv_enter();
    const int valid =
        fbp_smoothing_is_valid(net, step->label_smoothing) &&
        (net->clips || net->solver == FBP_SOLVER_GRADIENT || !fbp_wants_clipping(step));
    fbp_fpenv_leave(fpenv);
    return valid;
}

fbp_status fbp_train(fbp_net *net, const fbp_data *data, const int64_t *order, int64_t n_order,
                     int64_t batch_rows, const fbp_step *step, fbp_progress *progress)
{
    if (!net || net->retired || !step || !progress || net->solver == FBP_SOLVER_GRADIENT)
        return FBP_EINVAL;
    if (batch_rows < 1 || batch_rows > net->max_rows || !fbp_data_is_valid(net, data) ||
        !step_is_valid(net, step) || !fbp_order_is_valid(order, n_order, data->x.n_rows))
        return FBP_EINVAL;
    training t = {
        .net = net,
        .data = data,
        .order = order,
        .n_order = n_order,
        .batch_rows = batch_rows,
        .step = step,
        .progress = progress,
        .clips = net->clips,
    };
    if (!fbp_sparse_fits(net, &data->x, order, n_order, batch_rows)) return FBP_ENONZEROS;
    return run(&t);
}

fbp_status fbp_loss_gradient(fbp_net *net, const fbp_data *data, const fbp_step *step, double *loss,
                             void *grad, void *delta)
{
    if (!net || net->retired || !step || !loss || !grad || net->solver != FBP_SOLVER_GRADIENT ||
        net->max_rows < 1 || !step_is_valid(net, step))
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
        .delta = delta,
    };
    if (!fbp_sparse_fits(net, &data->x, NULL, t.n_order, t.batch_rows)) return FBP_ENONZEROS;
    const fbp_status status = run(&t);
    if (status != FBP_OK) return status;
    if (progress.n_steps == 0) /* Σ weights is zero */
        return FBP_EINVAL;
    const uint64_t fpenv = fbp_fpenv_enter();
    *loss = progress.loss_sum / (double)data->x.n_rows;
    fbp_fpenv_leave(fpenv);
    fbp_take_gradient(net, grad);
    return FBP_OK;
}
