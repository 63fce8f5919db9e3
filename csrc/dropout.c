/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each layer's rate and, for each step, its key of random numbers. See dropout.h.
 *
 * A key has 64 bits and a counter 128, of which row and unit take all. So the key of a layer in a step
 * is itself drawn: two words of the counter (step, layer) under the seed as key.
 */
#include "dropout.h"

#define N_NUMBERS 65536

int fbp_dropout_is_valid(const fbp_spec *spec)
{
    for (int l = 0; spec->dropout && l + 1 < spec->n_layers; l++) {
        const double rate = spec->dropout[l];
        if (!(rate >= 0 && rate < 1)) return 0;
        if (rate > 0 && spec->solver == FBP_SOLVER_GRADIENT) return 0;
    }
    return 1;
}

int fbp_dropout_drops(const fbp_spec *spec, int l)
{
    return spec->max_rows > 0 && spec->dropout && l + 1 < spec->n_layers && spec->dropout[l] > 0;
}

fbp_dropout fbp_dropout_of(const fbp_spec *spec, int l)
{
    if (!fbp_dropout_drops(spec, l)) return (fbp_dropout){0};
    const int64_t nearest = (int64_t)(spec->dropout[l] * N_NUMBERS + 0.5);
    const double threshold = (double)fbp_min(N_NUMBERS - 1, fbp_max(1, nearest));
    return (fbp_dropout){.threshold = threshold, .scale = N_NUMBERS / (N_NUMBERS - threshold)};
}

/* Two words of counter (step, layer) under the seed; the rounds are those of the kernel. */
static void draw_key(uint64_t seed, int64_t step, int layer, uint32_t key[2])
{
    uint32_t key_0 = (uint32_t)seed, key_1 = (uint32_t)(seed >> 32);
    uint32_t x0 = (uint32_t)step, x1 = (uint32_t)((uint64_t)step >> 32), x2 = (uint32_t)layer,
             x3 = 0;
    for (int round = 0; round < 7; round++) {
        const uint64_t p0 = UINT64_C(0xd2511f53) * x0, p1 = UINT64_C(0xcd9e8d57) * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ key_0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ key_1;
        x3 = (uint32_t)p0;
        key_0 += 0x9e3779b9u;
        key_1 += 0xbb67ae85u;
    }
    key[0] = x0;
    key[1] = x1;
}

void fbp_dropout_prepare(fbp_net *net, uint64_t seed, int64_t step, int64_t first_row)
{
    net->drop_row = first_row;
    for (int l = 0; l + 1 < net->n_layers; l++)
        if (net->layers[l].dropout.threshold > 0)
            draw_key(seed, step, l, net->layers[l].dropout.key);
}

void fbp_dropout_cell(const fbp_net *net, int l, fbp_cell cell)
{
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[l], *above = &net->layers[l + 1];
    const int64_t first = cell.first_panel * k->nr;
    const int64_t end = fbp_min(layer->fan_out, cell.end_panel * k->nr);
    const int64_t at = cell.first_panel * above->a_stride + cell.row * k->nr;
    k->drop(cell.rows, end - first, &layer->dropout, net->drop_row + cell.row, first,
            fbp_at(net, above->a, at), fbp_at(net, above->slopes, at), above->a_stride);
}
