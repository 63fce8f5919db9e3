/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forward: a block of rows through every layer, while its activations are in the thread's caches.
 *
 *     a[l+1] = act(a[l] · W[l] + b[l])       for the hidden layers
 *     z      = a[L−1] · W[L−1] + b[L−1]      for the last; the loss applies its link
 */
#include "internal.h"

void fbp_forward_block(fbp_net *net, int64_t row, int64_t rows)
{
    const fbp_kernels *k = net->kernels;
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        const void *a = fbp_at(net, layer->a, row * k->nr);
        if (layer->column) {
            k->forward_column(rows, 1, layer->fan_in, a, layer->a_stride, layer->w, layer->b,
                              fbp_at(net, layer->delta, row), 0);
            continue;
        }
        const int last = l + 1 == net->n_layers;
        void *out = last ? layer->delta : net->layers[l + 1].a;
        const int64_t stride = last ? layer->delta_stride : net->layers[l + 1].a_stride;
        k->forward[layer->activation](rows, layer->fan_out, layer->fan_in, a, layer->a_stride,
                                      layer->w, layer->b, fbp_at(net, out, row * k->nr), stride);
    }
}
