/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parameters and solver state in and out, between the caller's row-major arrays and packed panels. A
 * block of rows of W at a time, by all threads: large layers wait for memory, and one core has not all
 * of its bandwidth. Between blocks thread 0 asks whether to stop.
 */
#include "parameters.h"

#include "split.h"
#include "team.h"

#define BLOCK_BYTES (256 * 1024)              /* that a thread copies at a time */
#define BYTES_PER_THREAD (4L * 1024L * 1024L) /* a millisecond */

typedef struct {
    const fbp_net *net;
    const fbp_layer *layer;
    const void *from; /* coef if it is packed, otherwise W */
    void *w, *wt, *coef;
    int64_t step;      /* rows of a block: whole panels of Wᵀ */
    atomic_llong next; /* the first row that no thread has taken */
    fbp_poller poller;
    atomic_int stop;
} copying;

static void copy_body(void *context, int thread, int n_threads)
{
    copying *c = context;
    const fbp_layer *l = c->layer;
    const fbp_kernels *k = c->net->kernels;
    (void)n_threads;
    while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
        const int64_t row = atomic_fetch_add(&c->next, c->step);
        if (row >= l->fan_in) return;
        const int64_t end = fbp_min(l->fan_in, row + c->step);
        if (c->coef)
            k->unpack(l->fan_in, l->fan_out, row, end, c->from, c->coef);
        else
            k->pack(l->fan_in, l->fan_out, row, end, c->from, c->w, c->wt);
        if (thread == 0 && fbp_poll_due(&c->poller)) atomic_store(&c->stop, 1);
    }
}

/* All of W, which the layer holds in panels. */
static fbp_status copy_panels(copying c)
{
    const int64_t row_bytes = c.layer->fan_out * (int64_t)c.net->real_bytes;
    const int64_t most = fbp_max(1, c.layer->fan_in / fbp_max(1, BYTES_PER_THREAD / row_bytes));
    c.step = fbp_round_up(fbp_max(1, BLOCK_BYTES / row_bytes), c.net->kernels->nr);
    c.poller = fbp_poller_start(c.net->poll, c.net->poll_context);
    const int share = fbp_team_enter(c.net->n_threads);
    fbp_team_run((int)fbp_min(share, most), copy_body, &c);
    fbp_team_leave();
    return atomic_load(&c.stop) ? FBP_ESTOPPED : FBP_OK;
}

static fbp_status put(const fbp_net *net, const fbp_layer *l, const void *coef,
                      const void *intercept, void *w, void *wt, void *b)
{
    memcpy(b, intercept, (size_t)l->fan_out * net->real_bytes);
    if (!l->column)
        return copy_panels((copying){.net = net, .layer = l, .from = coef, .w = w, .wt = wt});
    memcpy(w, coef, (size_t)l->fan_in * net->real_bytes);
    return FBP_OK;
}

fbp_status fbp_take_parameters(const fbp_net *net, const fbp_layer *l, const void *w, const void *b,
                               void *coef, void *intercept)
{
    memcpy(intercept, b, (size_t)l->fan_out * net->real_bytes);
    if (!l->column) return copy_panels((copying){.net = net, .layer = l, .from = w, .coef = coef});
    memcpy(coef, w, (size_t)l->fan_in * net->real_bytes);
    return FBP_OK;
}

static fbp_layer *layer_at(const fbp_net *net, int layer)
{
    return net && layer >= 0 && layer < net->n_layers ? &net->layers[layer] : NULL;
}

void fbp_net_ask(fbp_net *net, fbp_poll_fn poll, void *poll_context)
{
    if (!net) return;
    net->poll = poll;
    net->poll_context = poll_context;
}

fbp_status fbp_net_set_layer(fbp_net *net, int layer, const void *coef, const void *intercept)
{
    const fbp_layer *l = layer_at(net, layer);
    if (!l || net->retired || !coef || !intercept) return FBP_EINVAL;
    const fbp_status status = put(net, l, coef, intercept, l->w, l->wt, l->b);
    if (status == FBP_OK && l->split) {
        const uint64_t fpenv = fbp_fpenv_enter();
        fbp_split_weights(net, l);
        fbp_fpenv_leave(fpenv);
    }
    return status;
}

fbp_status fbp_net_get_layer(const fbp_net *net, int layer, void *coef, void *intercept)
{
    const fbp_layer *l = layer_at(net, layer);
    if (!l || !l->w || !coef || !intercept) return FBP_EINVAL;
    return fbp_take_parameters(net, l, l->w, l->b, coef, intercept);
}

static int has_moment(const fbp_net *net, const fbp_layer *l, int moment)
{
    return moment >= 0 && moment < net->n_moments && l->mw[moment];
}

fbp_status fbp_net_set_moment(fbp_net *net, int layer, int moment, const void *coef,
                              const void *intercept)
{
    const fbp_layer *l = layer_at(net, layer);
    if (!l || net->retired || !has_moment(net, l, moment) || !coef || !intercept) return FBP_EINVAL;
    return put(net, l, coef, intercept, l->mw[moment], NULL, l->mb[moment]);
}

fbp_status fbp_net_get_moment(const fbp_net *net, int layer, int moment, void *coef,
                              void *intercept)
{
    const fbp_layer *l = layer_at(net, layer);
    if (!l || !has_moment(net, l, moment) || !coef || !intercept) return FBP_EINVAL;
    return fbp_take_parameters(net, l, l->mw[moment], l->mb[moment], coef, intercept);
}
