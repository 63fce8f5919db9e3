/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backward: the error of a block of rows carried back through every layer, and the weights' share.
 *
 *     delta[l−1] = (delta[l] · W[l]ᵀ) ⊙ act'(a[l])     rows phase
 *     W[l] ← solver(W[l], a[l]ᵀ · delta[l])            weights phase, over all rows of the chunk
 *
 * delta[l] is dL/dz of layer l; act' is written from the activation's output a[l], or was stored.
 */
#include "split.h"

void fbp_backward_cell(fbp_net *net, int l, fbp_cell cell)
{
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[l], *below = &net->layers[l - 1];
    const int64_t stride = layer->a_stride, row = cell.row, first = cell.first_panel * k->nr;
    const int64_t columns = fbp_min(layer->fan_in, cell.end_panel * k->nr) - first;
    const int64_t at = cell.first_panel * stride + row * k->nr;
    const void *a = fbp_at(net, layer->has_slopes ? layer->slopes : layer->a, at);
    void *out = fbp_at(net, below->delta, at);
    if (layer->split)
        fbp_split_backward(net, layer, below->activation, cell, a, out);
    else if (layer->column)
        (layer->has_slopes ? k->backward_column_slopes : k->backward_column[below->activation])(
            cell.rows, columns, 1, fbp_at(net, layer->delta, row), 0, fbp_at(net, layer->w, first),
            a, stride, out);
    else
        (layer->has_slopes ? k->backward_slopes : k->backward[below->activation])(
            cell.rows, columns, layer->fan_out, fbp_at(net, layer->delta, row * k->nr),
            layer->delta_stride, fbp_at(net, layer->wt, first * layer->fan_out), a, stride, out);
}

/* The delta below a layer, in so many pieces that a stop is seen soon. */
static int backward_layer(fbp_net *net, int l, fbp_cell cell, fbp_stop *stop)
{
    const fbp_layer *layer = &net->layers[l];
    const int64_t nr = net->kernels->nr, n_panels = fbp_ceil_div(layer->fan_in, nr);
    const int64_t step = fbp_panels_at_once(net, cell.rows, layer->fan_out);
    for (int64_t p = 0; p < n_panels; p += step) {
        const int64_t n = fbp_min(step, n_panels - p);
        cell.first_panel = p, cell.end_panel = p + n;
        fbp_backward_cell(net, l, cell);
        const double work = (double)cell.rows * (double)layer->fan_out * (double)(n * nr);
        if (fbp_stop_after(stop, net, work)) return 0;
    }
    return 1;
}

int fbp_backward_block(fbp_net *net, fbp_scratch *scratch, int64_t row, int64_t rows,
                       int64_t n_rows, fbp_stop *stop)
{
    for (int l = net->n_layers - 1; l >= 0; l--) {
        const fbp_layer *layer = &net->layers[l];
        uint16_t *tiles = l > 0 ? scratch->tiles : NULL;
        if (layer->split) fbp_split_delta(net, layer, tiles, row, rows, n_rows);
        if (l > 0 && !backward_layer(net, l, (fbp_cell){row, rows, 0, 0, tiles}, stop)) return 0;
    }
    return 1;
}

/* Where the thread's next strip begins. */
static void name_next(const fbp_net *net, const fbp_task *task, fbp_strip *strip)
{
    const fbp_task *next = &net->tasks[task->next];
    const fbp_layer *layer = &net->layers[next->layer];
    if (layer->column || !layer->a) return;
    const int64_t nr = net->kernels->nr;
    strip->next_a = fbp_at(net, layer->a, next->i0 / nr * layer->a_stride + next->i0 % nr);
    strip->next_delta = fbp_at(net, layer->delta, next->panel * layer->delta_stride);
}

void fbp_update_task(fbp_net *net, const fbp_task *task, int64_t rows, const fbp_update *update)
{
    const fbp_layer *layer = &net->layers[task->layer];
    /* Without rows, the stored gradient is all there is: sparse or dense is the same. */
    const int sparse = net->sparse.used && task->layer == 0 && rows > 0;
    fbp_strip strip = {
        .rows = rows,
        .fan_in = layer->fan_in,
        .fan_out = layer->fan_out,
        .i0 = task->i0,
        .i1 = task->i1,
        .panel = task->panel,
        .fresh = task->fresh,
        .a = layer->a,
        .a_stride = layer->a ? layer->a_stride : 0,
        .x = &net->sparse.strips,
        .delta = layer->delta,
        .delta_stride = layer->delta_stride,
        .w = layer->w,
        .wt = layer->wt,
        .b = layer->b,
        .gw = layer->gw,
        .gb = layer->gb,
        .mw = {layer->mw[0], layer->mw[1]},
        .mb = {layer->mb[0], layer->mb[1]},
        .squares = layer->squares,
    };
    name_next(net, task, &strip);
    const fbp_kernels *k = net->kernels;
    if (sparse)
        (layer->column ? k->update_sparse_column : k->update_sparse)[net->solver](&strip, update);
    else if (layer->split)
        fbp_split_update(net, layer, &strip, update);
    else
        (layer->column ? k->update_column : k->update)[net->solver](&strip, update);
}
