/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See gradient.h. The norm of all parameters' gradient is a sum over threads' parts, and is the same for
 * any number of them, and in every family that gives the same gradient: each task adds up its columns,
 * 32 rows at a time, in increasing order; what they give is added in the order of layers, strips and
 * columns, then of the intercepts. All in double, where a float's square neither overflows nor
 * vanishes.
 */
#include "gradient.h"

#include <math.h>

#include "parameters.h"

void fbp_square_gradient(const fbp_net *net, const fbp_task *task, const fbp_update *update)
{
    const fbp_layer *layer = &net->layers[task->layer];
    const fbp_kernels *k = net->kernels;
    const int64_t before = task->panel * k->nr;
    const int64_t columns = fbp_min(k->nr, layer->fan_out - before);
    const int64_t width =
        layer->column ? 1 : fbp_panel_width(layer->fan_out, task->panel, k->lanes, k->nr);
    for (int64_t i = task->i0; i < task->i1; i += FBP_STRIP_ROWS) {
        const int64_t rows = fbp_min(FBP_STRIP_ROWS, task->i1 - i);
        const int64_t at = before * layer->fan_in + i * width;
        k->gradient_squares(rows, columns, width, fbp_at(net, layer->gw, at),
                            fbp_at(net, layer->w, at), update,
                            layer->gradient_squares + i / FBP_STRIP_ROWS * layer->fan_out + before);
    }
}

int fbp_wants_clipping(const fbp_step *step) { return step->max_grad_norm > 0; }

double fbp_clip_factor(const fbp_net *net, double scale, double most_norm)
{
    double sum = 0;
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        const int64_t n = fbp_ceil_div(layer->fan_in, FBP_STRIP_ROWS) * layer->fan_out;
        for (int64_t i = 0; i < n; i++)
            sum += layer->gradient_squares[i];
    }
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        for (int64_t j = 0; j < layer->fan_out; j++) {
            const double g = scale * (net->real == FBP_F32 ? (double)((const float *)layer->gb)[j]
                                                           : ((const double *)layer->gb)[j]);
            sum += g * g;
        }
    }
    const double norm = sqrt(sum);
    return isfinite(norm) && norm > most_norm ? most_norm / norm : 1;
}

void fbp_take_gradient(const fbp_net *net, void *out)
{
    void *intercepts = out;
    for (int l = 0; l < net->n_layers; l++)
        intercepts = fbp_at(net, intercepts, net->layers[l].fan_in * net->layers[l].fan_out);
    for (int l = 0; l < net->n_layers; l++) {
        const fbp_layer *layer = &net->layers[l];
        (void)fbp_take_parameters(net, layer, layer->gw, layer->gb, out, intercepts);
        out = fbp_at(net, out, layer->fan_in * layer->fan_out);
        intercepts = fbp_at(net, intercepts, layer->fan_out);
    }
}

void fbp_take_delta(const fbp_net *net, int64_t row, int64_t rows, void *out)
{
    const fbp_layer *layer = &net->layers[0];
    const size_t size = net->real_bytes;
    if (layer->fan_out == 1 && !layer->column) { /* a panel of one column is no vector */
        for (int64_t r = 0; r < rows; r++)
            memcpy((char *)out + (size_t)r * size,
                   fbp_at(net, layer->delta, (row + r) * net->kernels->nr), size);
        return;
    }
    net->kernels->scatter[net->real](
        rows, layer->fan_out,
        fbp_at(net, layer->delta, layer->column ? row : row * net->kernels->nr),
        layer->delta_stride, out);
}
