/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prediction, and the loss of rows: blocks of rows carried through all layers in a thread's own two
 * buffers, in turn, taken by whichever thread is free. Each row takes part in full tiles padded with
 * zeros, so its bits do not depend on its neighbours.
 */
#include "data.h"
#include "sparse.h"
#include "split.h"
#include "team.h"
#include "widen.h"

#define TAKEN_VALUES 2048 /* checked at a time, and then gathered */

typedef struct {
    fbp_net *net;
    const fbp_matrix *x;
    const int64_t *order; /* or NULL */
    int64_t n_rows;       /* to predict for */
    int flags, out_real;
    const fbp_kernels *wide; /* whose link to take in place of the net's, or NULL */
    char *out;
    const fbp_data *data; /* for losses: x and y; else NULL */
    double *row_loss;
    int64_t step;      /* rows that a thread takes at a time */
    atomic_llong next; /* the first row that no thread has taken */
    fbp_poller poller;
    atomic_int stop; /* fbp_status: why, or FBP_OK */
} prediction;

/* Whether the last hidden layer's activations are the prediction. */
static int wants_hidden(const prediction *p) { return (p->flags & FBP_PREDICT_HIDDEN) != 0; }

/* Whether to stop; thread 0 asks the caller. */
static int must_stop(void *context, int thread)
{
    prediction *p = context;
    if (thread == 0 && fbp_poll_due(&p->poller)) atomic_store(&p->stop, FBP_ESTOPPED);
    return atomic_load_explicit(&p->stop, memory_order_relaxed) != FBP_OK;
}

/* Some column panels of layer l, from one of the thread's buffers to the other. */
static void forward_panels(const fbp_net *net, int l, const fbp_scratch *s, fbp_cell cell)
{
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[l];
    const int64_t first = cell.first_panel * k->nr;
    const int64_t columns = fbp_min(layer->fan_out, cell.end_panel * k->nr) - first;
    const void *a = s->panels[l % 2];
    void *out = fbp_at(net, s->panels[(l + 1) % 2], cell.first_panel * s->stride);
    if (layer->split)
        fbp_split_forward(net, layer, layer->activation, cell, out, s->stride);
    else
        (layer->column ? k->forward_column : k->forward[layer->activation])(
            cell.rows, columns, layer->fan_in, a, s->stride,
            fbp_at(net, layer->w, first * layer->fan_in), fbp_at(net, layer->b, first), out,
            s->stride);
}

/* The outputs of the block's first n_layers layers, in one of the thread's buffers; z of the net's last
 * one, a vector for a column. NULL when stopped on the way. */
static void *forward_scratch(const fbp_net *net, int n_layers, const fbp_scratch *s, int64_t padded,
                             fbp_stop *stop)
{
    const int64_t nr = net->kernels->nr;
    if (net->sparse.used) fbp_sparse_forward_scratch(net, s, padded);
    for (int l = net->sparse.used; l < n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        const int64_t n_panels = fbp_ceil_div(layer->fan_out, nr);
        const int64_t step = fbp_panels_at_once(net, padded, layer->fan_in);
        if (layer->split)
            fbp_split_a(net, layer, s->panels[l % 2], s->stride, s->tiles, 0, padded, 0);
        for (int64_t at = 0; at < n_panels; at += step) {
            const int64_t n = fbp_min(step, n_panels - at);
            forward_panels(net, l, s, (fbp_cell){0, padded, at, at + n, s->tiles});
            const double work = (double)padded * (double)layer->fan_in * (double)(n * nr);
            if (fbp_stop_after(stop, net, work)) return NULL;
        }
    }
    return s->panels[n_layers % 2];
}

/* Rows into the thread's first buffer, checked if asked for: a few at a time, so that the second look
 * at them is into L1. How many of the n were taken. */
static int64_t take_rows(prediction *p, const fbp_scratch *scratch, int64_t row, int64_t n)
{
    const fbp_net *net = p->net;
    if (net->sparse.used) return fbp_sparse_gather_block(net, p->x, p->order, row, n, scratch);
    const int strict = p->flags & FBP_PREDICT_STRICT;
    const int64_t step = strict ? fbp_max(1, TAKEN_VALUES / net->n_in) : n;
    for (int64_t r = 0; r < n; r += step) {
        const int64_t count = fbp_min(step, n - r);
        if (strict && !fbp_rows_are_within(p->x, net->isa, net->real, row + r, count)) {
            atomic_store(&p->stop, FBP_ENONFINITE);
            return n;
        }
        fbp_gather_x(net, p->x, p->order, row + r, count,
                     fbp_at(net, scratch->panels[0], r * net->kernels->nr), scratch->stride);
    }
    return n;
}

/* A column that lies in a panel, as a vector in the same place. */
static void squeeze(const fbp_net *net, int64_t n, char *z)
{
    const size_t size = net->real_bytes, step = (size_t)net->kernels->nr * size;
    for (int64_t r = 1; r < n; r++)
        memcpy(z + (size_t)r * size, z + (size_t)r * step, size);
}

/* z of n rows as predictions into out; or a, the last hidden layer's. */
static void write_rows(const prediction *p, const fbp_scratch *scratch, void *z, int64_t n,
                       int64_t n_out, char *out)
{
    const fbp_net *net = p->net;
    const fbp_kernels *k = net->kernels;
    if (!p->wide && !(p->flags & FBP_PREDICT_RAW)) k->link[net->loss](n, n_out, z, scratch->stride);
    if (n_out == 1 && wants_hidden(p)) squeeze(net, n, z);
    k->scatter[p->out_real](n, n_out, z, scratch->stride, out);
    if (!p->wide) return;
    const int64_t elements = fbp_ceil_div(n_out, k->nr) * scratch->stride;
    fbp_link_wide(p->wide, net->loss, n, n_out, (double *)(void *)out,
                  scratch->panels[(net->n_layers + 1) % 2], (size_t)elements * net->real_bytes);
}

/* What z, or a, of n rows from `row` on is wanted for: predictions, or the rows' losses. */
static void finish_rows(const prediction *p, fbp_scratch *scratch, int64_t row, int64_t n, void *z)
{
    const fbp_net *net = p->net;
    if (p->row_loss) {
        fbp_gather_y(net, p->data, p->order, row, n, scratch);
        const fbp_targets targets = {.y = scratch->y, .parameters = net->loss_parameters};
        net->kernels->loss[net->loss](n, net->n_out, z, scratch->stride, &targets,
                                      p->row_loss + row);
        return;
    }
    const int64_t n_out = net->layers[net->n_layers - 1 - wants_hidden(p)].fan_out;
    const size_t row_bytes = (size_t)n_out * fbp_real_bytes(p->out_real);
    write_rows(p, scratch, z, n, n_out, p->out + (size_t)row * row_bytes);
}

static void predict_body(void *context, int thread, int n_threads)
{
    prediction *p = context;
    const fbp_net *net = p->net;
    fbp_scratch *scratch = &net->scratch[thread];
    const int n_layers = net->n_layers - wants_hidden(p);
    fbp_stop stop = {must_stop, p, thread, 0};
    (void)n_threads;
    fbp_split_enter(net);
    for (;;) {
        int64_t row = atomic_fetch_add(&p->next, p->step);
        if (row >= p->n_rows) break;
        const int64_t end = fbp_min(row + p->step, p->n_rows);
        for (int64_t n; row < end; row += n) { /* sparse rows may be too full to take all at once */
            n = take_rows(p, scratch, row, end - row);
            const int64_t padded = fbp_round_up(n, net->row_step);
            void *z = forward_scratch(net, n_layers, scratch, padded, &stop);
            if (!z) break;
            finish_rows(p, scratch, row, n, z);
        }
        if (must_stop(p, thread)) break;
    }
    fbp_split_leave(net);
}

/* A team that sleeps costs tens of microseconds to wake, and the time of the slowest of its cores:
 * below this many multiply-adds, 150 microseconds of work, a thread more risks more than it gains. */
#define MULTIPLY_ADDS_PER_THREAD 10000000.0
#define SHARES_PER_THREAD 4 /* so that a thread which comes late finds less left to do */

static int threads_for(const fbp_net *net, const fbp_matrix *x, int64_t n_rows, int64_t limit)
{
    double work = 0;
    if (net->sparse.used) work = fbp_sparse_mean_row(x) * (double)net->layers[0].fan_out;
    for (int l = net->sparse.used; l < net->n_layers; l++)
        work += (double)net->layers[l].fan_in * (double)net->layers[l].fan_out;
    work *= (double)n_rows / MULTIPLY_ADDS_PER_THREAD;
    const int64_t tiles = fbp_ceil_div(n_rows, net->row_step);
    limit = fbp_min(limit, tiles);
    if (net->pace.fixed) return (int)fbp_max(1, limit);
    return (int)fbp_max(1, work < (double)limit ? (int64_t)work : limit);
}

/* The call's team, and its floating-point environment. */
static fbp_status run(prediction *p, fbp_poll_fn poll, void *poll_context)
{
    const fbp_net *net = p->net;
    if (!fbp_sparse_rows_fit(net, p->x)) return FBP_ENONZEROS;
    p->poller = fbp_poller_start(poll, poll_context);
    p->step = net->block;
    const uint64_t fpenv = fbp_fpenv_enter();
    const int share = fbp_team_enter(net->n_threads);
    const int n_threads = threads_for(net, p->x, p->n_rows, share);
    const int64_t even = fbp_ceil_div(p->n_rows, (int64_t)SHARES_PER_THREAD * n_threads);
    if (n_threads > 1) /* and of full tiles */
        p->step = fbp_min(p->step, fbp_round_up(fbp_max(even, 1), net->row_step));
    fbp_team_run(n_threads, predict_body, p);
    fbp_team_leave();
    fbp_fpenv_leave(fpenv);
    return (fbp_status)atomic_load(&p->stop);
}

fbp_status fbp_predict_order(fbp_net *net, const fbp_matrix *x, const int64_t *order,
                             int64_t n_order, int flags, fbp_poll_fn poll, void *poll_context,
                             int32_t out_real, void *out)
{
    if (!net || net->retired || !x || !fbp_matrix_is_valid(x, net->n_in) ||
        (out_real != FBP_F32 && out_real != FBP_F64) || (!out && n_order > 0) ||
        ((flags & FBP_PREDICT_STRICT) && (x->indptr || order)))
        return FBP_EINVAL;
    if (!fbp_order_is_valid(order, n_order, x->n_rows)) return FBP_EINVAL;
    if ((flags & FBP_PREDICT_HIDDEN) && net->n_layers == 1) return FBP_EINVAL;
    if (flags & FBP_PREDICT_HIDDEN) flags |= FBP_PREDICT_RAW; /* there is no link to take */
    if (net->sparse.used && !x->indptr) return FBP_EINVAL;
    prediction p = {
        .net = net,
        .x = x,
        .order = order,
        .n_rows = n_order,
        .flags = flags,
        .out_real = out_real,
        .wide = fbp_wide_kernels(net->isa, net->real, out_real, flags),
        .out = out,
    };
    return run(&p, poll, poll_context);
}

fbp_status fbp_predict(fbp_net *net, const fbp_matrix *x, int flags, fbp_poll_fn poll,
                       void *poll_context, int32_t out_real, void *out)
{
    return fbp_predict_order(net, x, NULL, x ? x->n_rows : 0, flags, poll, poll_context, out_real,
                             out);
}

fbp_status fbp_predict_loss(fbp_net *net, const fbp_data *data, const int64_t *order,
                            int64_t n_order, fbp_poll_fn poll, void *poll_context, double *row_loss)
{
    if (!net || net->retired || net->max_rows < 1 || !data || !row_loss) return FBP_EINVAL;
    fbp_data unweighted = *data;
    unweighted.weights = NULL;
    if (!fbp_data_is_valid(net, &unweighted) || !fbp_order_is_valid(order, n_order, data->x.n_rows))
        return FBP_EINVAL;
    prediction p = {
        .net = net,
        .x = &unweighted.x,
        .order = order,
        .n_rows = n_order,
        .data = &unweighted,
        .row_loss = row_loss,
    };
    return run(&p, poll, poll_context);
}
