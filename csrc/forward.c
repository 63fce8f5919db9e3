/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forward: a block of rows through every layer, while its activations are in the thread's caches.
 *
 *     a[l+1] = act(a[l] · W[l] + b[l])       for the hidden layers
 *     z      = a[L−1] · W[L−1] + b[L−1]      for the last; the loss applies its link
 *
 * Where the derivative cannot be written from a (and where what comes after the activation changes it),
 * the next layer keeps slopes: the product leaves z, and a pass over the cell makes of it a and act'(z).
 */
#include "dropout.h"
#include "sparse.h"
#include "split.h"

static void product_cell(fbp_net *net, int l, fbp_cell cell)
{
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[l];
    if (l == 0 && net->sparse.used) {
        fbp_sparse_forward_cell(net, cell);
        return;
    }
    const int64_t row = cell.row, first = cell.first_panel * k->nr;
    const void *a = fbp_at(net, layer->a, row * k->nr);
    if (layer->column) {
        k->forward_column(cell.rows, 1, layer->fan_in, a, layer->a_stride, layer->w, layer->b,
                          fbp_at(net, layer->delta, row), 0);
        return;
    }
    const int last = l + 1 == net->n_layers;
    void *out = last ? layer->delta : net->layers[l + 1].a;
    const int64_t stride = last ? layer->delta_stride : net->layers[l + 1].a_stride;
    if (layer->split) {
        const int64_t at = cell.first_panel * stride + row * k->nr;
        fbp_split_forward(net, layer, layer->train_activation, cell, fbp_at(net, out, at), stride);
        return;
    }
    const int64_t end = fbp_min(layer->fan_out, cell.end_panel * k->nr);
    k->forward[layer->train_activation](
        cell.rows, end - first, layer->fan_in, a, layer->a_stride,
        fbp_at(net, layer->w, first * layer->fan_in), fbp_at(net, layer->b, first),
        fbp_at(net, out, cell.first_panel * stride + row * k->nr), stride);
}

/* The cell's z → a and slopes. */
static void activate_cell(fbp_net *net, int l, fbp_cell cell)
{
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[l], *next = &net->layers[l + 1];
    const int64_t first = cell.first_panel * k->nr;
    const int64_t end = fbp_min(layer->fan_out, cell.end_panel * k->nr);
    const int64_t at = cell.first_panel * next->a_stride + cell.row * k->nr;
    k->slopes[layer->activation](cell.rows, end - first, fbp_at(net, next->a, at),
                                 fbp_at(net, next->slopes, at), next->a_stride);
}

void fbp_forward_cell(fbp_net *net, int l, fbp_cell cell)
{
    product_cell(net, l, cell);
    if (l + 1 < net->n_layers && net->layers[l + 1].has_slopes) activate_cell(net, l, cell);
    if (net->layers[l].dropout.threshold > 0) fbp_dropout_cell(net, l, cell);
}

/* A layer's outputs, in so many pieces that a stop is seen soon. */
static int forward_layer(fbp_net *net, int l, fbp_cell cell, fbp_stop *stop)
{
    const fbp_layer *layer = &net->layers[l];
    const int64_t nr = net->kernels->nr, n_panels = fbp_ceil_div(layer->fan_out, nr);
    const int64_t k = fbp_sparse_fan_in(net, layer);
    const int64_t step = fbp_panels_at_once(net, cell.rows, k);
    for (int64_t p = 0; p < n_panels; p += step) {
        const int64_t n = fbp_min(step, n_panels - p);
        cell.first_panel = p, cell.end_panel = p + n;
        fbp_forward_cell(net, l, cell);
        if (fbp_stop_after(stop, net, (double)cell.rows * (double)k * (double)(n * nr))) return 0;
    }
    return 1;
}

int fbp_forward_block(fbp_net *net, fbp_scratch *scratch, int64_t row, int64_t rows, int64_t n_rows,
                      fbp_stop *stop)
{
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        if (layer->split)
            fbp_split_a(net, layer, fbp_at(net, layer->a, row * net->kernels->nr), layer->a_stride,
                        scratch->tiles, row, rows, n_rows);
        if (!forward_layer(net, l, (fbp_cell){row, rows, 0, 0, scratch->tiles}, stop)) return 0;
    }
    return 1;
}
