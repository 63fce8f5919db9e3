/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split products: a float32 matrix as a sum of one, two or three bfloat16 matrices, its parts, which
 * matrix units multiply. Part 0 is x rounded to bfloat16 (nearest, even), part 1 what that left,
 * rounded, part 2 what is then left. Sums are float32.
 *
 * Tiles. An operand is stored as tiles of 512 bfloat16, in the order that a product reads them: for
 * each 16 of its rows or columns, for each 32 of k, for each part, one tile.
 *
 *     left   [16 rows × 32 of k]                    rows tiles, k tiles, parts
 *     right  [16 pairs of k × 16 columns × 2]       column tiles, k tiles, parts
 *
 * What lies beyond a matrix's edge is zero in a tile. The operands of a layer's three products:
 *
 *     forward   left: a, rows of a block       right: W, pairs along fan_in      w_tiles
 *     backward  left: delta, rows of a block   right: Wᵀ, pairs along fan_out    wt_tiles
 *     weights   left: aᵀ, k along the batch    right: delta, pairs of rows       a_batch, delta_batch
 *
 * Each number is split once in a step: activations and deltas when a block of them is complete, into
 * both their places; weights by the update.
 */
#ifndef FBP_SPLIT_H
#define FBP_SPLIT_H

#include "internal.h"

#define FBP_TILE 16       /* rows of a left, columns of a right tile */
#define FBP_TILE_K 32     /* k of either */
#define FBP_TILE_SIZE 512 /* bfloat16 in either */
#define FBP_MAX_PARTS 3

/* A block of rows of panels x [rows × cols] to split. */
typedef struct {
    int parts;
    int64_t rows;  /* a multiple of 16; those from `valid` on become zeros */
    int64_t valid; /* may be ≤ 0 */
    int64_t cols;
    const float *x;
    int64_t stride;
    uint16_t *tiles; /* out: the block as left operand of a row product; or NULL */
    uint16_t *batch; /* out: its place in an operand of the weight product; or NULL */
    int64_t row;     /* the block's first row in the batch, a multiple of 16 */
    int64_t batch_k; /* tiles of k that the batch's operand has room for */
    int last;        /* of the batch: its last tile of k is filled up with zeros */
} fbp_split_block;

/* A row product: out [rows × n] = epilogue(a [rows × k] · b [k × n]). */
typedef struct {
    int parts;
    int64_t rows, n, k; /* rows: a multiple of 16 */
    const uint16_t *a, *b;
    const float *operand; /* forward: bias [n]; backward: activations or slopes, panels like out */
    float *out;           /* panels */
    int64_t stride;
} fbp_split_product;

/* A strip of the weight product: `strip` says which, its a, a_stride and wt are not read. */
typedef struct {
    int parts;
    const fbp_strip *strip;
    const uint16_t *a, *delta;
    int64_t batch_k;
    uint16_t *w_tiles, *wt_tiles; /* out: the new W; NULL: not wanted */
} fbp_split_strip;

typedef void fbp_split_block_fn(const fbp_split_block *block);
typedef void fbp_split_product_fn(const fbp_split_product *product);
typedef void fbp_split_update_fn(const fbp_split_strip *strip, const fbp_update *update);

struct fbp_split_kernels {
    int most_parts;    /* precisions of more parts are not split */
    double break_even; /* I·O / (I + O) per part from which splitting a layer gains */
    /* Before the first use in the process: 0 where the system refuses or the unit errs. Or NULL. */
    int (*start)(void);
    void (*enter)(void), (*leave)(void); /* around a thread's use; or NULL */
    fbp_split_block_fn *split_a, *split_delta;
    fbp_split_product_fn *forward[FBP_N_ACTIVATIONS], *backward[FBP_N_ACTIVATIONS];
    fbp_split_product_fn *backward_slopes;
    fbp_split_update_fn *update[FBP_N_SOLVERS];
    /* Packed W into its tiles, either or both. */
    void (*pack)(int parts, int64_t fan_in, int64_t fan_out, const void *w, uint16_t *w_tiles,
                 uint16_t *wt_tiles);
};

/* The split products of a family at a precision, or NULL: the products are then the family's plain
 * ones. Nothing is asked of the system. */
const fbp_split_kernels *fbp_split_find(int isa, int real, int precision);
/* Ask once per process whether the family's split products work here. */
int fbp_split_start(int isa);
int fbp_parts(int precision);

/* Whether a layer of that shape is split: a rule of shape, family and precision only. */
int fbp_split_gains(const fbp_split_kernels *split, int parts, int64_t fan_in, int64_t fan_out);

/* Tiles of an operand with `lines` rows or columns and k; −1 on overflow. */
int64_t fbp_split_tiles(int64_t lines, int64_t k);

/* W has changed: split it anew. */
void fbp_split_weights(const fbp_net *net, const fbp_layer *layer);
/* Split rows row … row + rows − 1 of a layer's input a, or of its delta: into `tiles`, as the left
 * operand of its row products, and into their place in the batch's. n_rows are the chunk's; 0: there
 * is no batch, in a prediction. tiles: NULL if not wanted. */
void fbp_split_a(const fbp_net *net, const fbp_layer *layer, const void *a, int64_t a_stride,
                 uint16_t *tiles, int64_t row, int64_t rows, int64_t n_rows);
void fbp_split_delta(const fbp_net *net, const fbp_layer *layer, uint16_t *tiles, int64_t row,
                     int64_t rows, int64_t n_rows);
/* The products of a split layer, as in forward.c and backward.c: of a cell, at which out and a (or the
 * slopes, where the layer has them) begin. */
void fbp_split_forward(const fbp_net *net, const fbp_layer *layer, int activation, fbp_cell cell,
                       void *out, int64_t out_stride);
void fbp_split_backward(const fbp_net *net, const fbp_layer *layer, int activation, fbp_cell cell,
                        const void *a, void *out);
void fbp_split_update(const fbp_net *net, const fbp_layer *layer, const fbp_strip *strip,
                      const fbp_update *update);

/* bfloat16 before `row` in the tiles of a left operand with k columns. */
static inline int64_t fbp_split_row(const fbp_net *net, int64_t row, int64_t k)
{
    return row / FBP_TILE * fbp_ceil_div(k, FBP_TILE_K) * net->parts * FBP_TILE_SIZE;
}

/* Around a thread's share of a phase. */
static inline void fbp_split_enter(const fbp_net *net)
{
    if (net->split && net->split->enter) net->split->enter();
}

static inline void fbp_split_leave(const fbp_net *net)
{
    if (net->split && net->split->leave) net->split->leave();
}

#endif
