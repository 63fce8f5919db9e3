/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which layers have split products, and their place among the other products. See split.h.
 *
 * The rule. A layer's three products take 6·I·O operations per row, and splitting its activations
 * and deltas takes a time proportional to (I + O)·parts. So tiles gain where I·O / (I + O) passes a
 * constant of the family times the parts; and they lose where a side is so thin that most of a tile
 * would be padding. Rows and threads do not enter: a row has the same bits in every batch.
 */
#include "split.h"

#define THINNEST 24

int fbp_split_gains(const fbp_split_kernels *split, int parts, int64_t fan_in, int64_t fan_out)
{
    const double in = (double)fan_in, out = (double)fan_out;
    return fbp_min(fan_in, fan_out) >= THINNEST &&
           in * out >= split->break_even * (double)parts * (in + out);
}

int64_t fbp_split_tiles(int64_t lines, int64_t k)
{
    const int64_t down = fbp_ceil_div(lines, FBP_TILE), along = fbp_ceil_div(k, FBP_TILE_K);
    return down > INT64_MAX / (2 * FBP_MAX_PARTS * FBP_TILE_SIZE) / along ? -1 : down * along;
}

void fbp_split_weights(const fbp_net *net, const fbp_layer *layer)
{
    net->split->pack(net->parts, layer->fan_in, layer->fan_out, layer->w, layer->w_tiles,
                     layer->wt_tiles);
}

/* A block of a layer's activations or deltas as split_a and split_delta take it. */
static fbp_split_block block_of(const fbp_net *net, uint16_t *tiles, int64_t row, int64_t rows,
                                int64_t n_rows)
{
    return (fbp_split_block){
        .parts = net->parts,
        .rows = rows,
        .valid = n_rows > 0 ? n_rows - row : rows,
        .tiles = tiles,
        .row = row,
        .batch_k = fbp_ceil_div(net->chunk, FBP_TILE_K),
        .last = n_rows > 0 && row + rows >= n_rows,
    };
}

void fbp_split_a(const fbp_net *net, const fbp_layer *layer, const void *a, int64_t a_stride,
                 uint16_t *tiles, int64_t row, int64_t rows, int64_t n_rows)
{
    fbp_split_block block = block_of(net, tiles, row, rows, n_rows);
    block.cols = layer->fan_in;
    block.x = a;
    block.stride = a_stride;
    block.batch = n_rows > 0 ? layer->a_batch : NULL;
    net->split->split_a(&block);
}

void fbp_split_delta(const fbp_net *net, const fbp_layer *layer, uint16_t *tiles, int64_t row,
                     int64_t rows, int64_t n_rows)
{
    fbp_split_block block = block_of(net, tiles, row, rows, n_rows);
    block.cols = layer->fan_out;
    block.x = fbp_at(net, layer->delta, row * net->kernels->nr);
    block.stride = layer->delta_stride;
    block.batch = layer->delta_batch;
    net->split->split_delta(&block);
}

/* The cell's part of a row product: n columns in all, k deep. */
static fbp_split_product product_of(const fbp_net *net, fbp_cell cell, int64_t n, int64_t k,
                                    const uint16_t *right)
{
    const int64_t first = cell.first_panel * net->kernels->nr;
    return (fbp_split_product){
        .parts = net->parts,
        .rows = cell.rows,
        .n = fbp_min(n, cell.end_panel * net->kernels->nr) - first,
        .k = k,
        .a = cell.tiles,
        .b = right + fbp_split_row(net, first, k),
    };
}

void fbp_split_forward(const fbp_net *net, const fbp_layer *layer, int activation, fbp_cell cell,
                       void *out, int64_t out_stride)
{
    fbp_split_product product =
        product_of(net, cell, layer->fan_out, layer->fan_in, layer->w_tiles);
    product.operand = fbp_at(net, layer->b, cell.first_panel * net->kernels->nr);
    product.out = out;
    product.stride = out_stride;
    net->split->forward[activation](&product);
}

void fbp_split_backward(const fbp_net *net, const fbp_layer *layer, int activation, fbp_cell cell,
                        const void *a, void *out)
{
    fbp_split_product product =
        product_of(net, cell, layer->fan_in, layer->fan_out, layer->wt_tiles);
    product.operand = a;
    product.out = out;
    product.stride = layer->a_stride;
    (layer->has_slopes ? net->split->backward_slopes : net->split->backward[activation])(&product);
}

void fbp_split_update(const fbp_net *net, const fbp_layer *layer, const fbp_strip *strip,
                      const fbp_update *update)
{
    const int changes = net->solver != FBP_SOLVER_GRADIENT;
    const fbp_split_strip split = {
        .parts = net->parts,
        .strip = strip,
        .a = layer->a_batch,
        .delta = layer->delta_batch,
        .batch_k = fbp_ceil_div(net->chunk, FBP_TILE_K),
        .w_tiles = changes ? layer->w_tiles : NULL,
        .wt_tiles = changes ? layer->wt_tiles : NULL,
    };
    net->split->update[net->solver](&split, update);
}
