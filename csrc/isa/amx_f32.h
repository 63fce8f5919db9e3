/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vocabulary: products of bfloat16 by AMX tiles, one to three parts. Sums are in tiles 0 to 3, left
 * operands in 4 and 5, right ones in 6 and 7. With x and y the operands' parts, each 32 of k add
 *
 *     three parts   x0·y2, x1·y1, x2·y0, x0·y1, x1·y0, x0·y0: small ones first; x1·y2, x2·y1, x2·y2
 *                   are below the last bit of float32
 *     two parts     x0·y1, x0·y0, x1·y0: eight loads for twelve tile products
 *     one part      x0·y0
 *
 * in this order, whatever the block.
 */
#include "amx.h"

#define MOST_PARTS 3
#define BREAK_EVEN 8
#define START amx_start
#define ENTER amx_enter
#define LEAVE amx_leave

#define TILE_BYTES 1024
#define TILE_ROW_BYTES 64

static ALWAYS_INLINE void load_left(const int down, const tile_sums *t, const char *a, int part)
{
    AMX_LOAD(4, a + part * TILE_BYTES, TILE_ROW_BYTES);
    if (down == 2) AMX_LOAD(5, a + 2 * t->a_step + part * TILE_BYTES, TILE_ROW_BYTES);
}

static ALWAYS_INLINE void load_right(const int across, const tile_sums *t, const char *b, int part)
{
    AMX_LOAD(6, b + part * TILE_BYTES, TILE_ROW_BYTES);
    if (across == 2) AMX_LOAD(7, b + 2 * t->b_step + part * TILE_BYTES, TILE_ROW_BYTES);
}

static ALWAYS_INLINE void multiply(const int down, const int across)
{
    AMX_MULTIPLY(0, 4, 6);
    if (across == 2) AMX_MULTIPLY(1, 4, 7);
    if (down == 2) AMX_MULTIPLY(2, 5, 6);
    if (down == 2 && across == 2) AMX_MULTIPLY(3, 5, 7);
}

/* 32 of k: the products of the parts, in their order. */
static ALWAYS_INLINE void multiply_parts(const int parts, const int down, const int across,
                                         const tile_sums *t, const char *a, const char *b)
{
    static const int8_t order[3][6][2] = {
        {{0, 0}},
        {{0, 1}, {0, 0}, {1, 0}},
        {{0, 2}, {1, 1}, {2, 0}, {0, 1}, {1, 0}, {0, 0}},
    };
    const int n = parts * (parts + 1) / 2;
    UNROLL
    for (int i = 0; i < n; i++) {
        const int8_t *now = order[parts - 1][i], *before = order[parts - 1][i > 0 ? i - 1 : 0];
        if (i == 0 || now[0] != before[0]) load_left(down, t, a, now[0]);
        if (i == 0 || now[1] != before[1]) load_right(across, t, b, now[1]);
        multiply(down, across);
    }
}

static ALWAYS_INLINE void multiply_tiles(const int parts, const int down, const int across,
                                         const tile_sums *t)
{
    const char *a = (const char *)t->a, *b = (const char *)t->b;
    const int64_t row = (int64_t)sizeof(float) * t->ld;
    if (t->first) {
        AMX_ZERO(0);
        if (across == 2) AMX_ZERO(1);
        if (down == 2) AMX_ZERO(2);
        if (down == 2 && across == 2) AMX_ZERO(3);
    } else {
        AMX_LOAD(0, t->out[0], row);
        if (across == 2) AMX_LOAD(1, t->out[1], row);
        if (down == 2) AMX_LOAD(2, t->out[0] + 16 * t->ld, row);
        if (down == 2 && across == 2) AMX_LOAD(3, t->out[1] + 16 * t->ld, row);
    }
    for (int64_t k = 0; k < t->k; k++, a += parts * TILE_BYTES, b += parts * TILE_BYTES)
        multiply_parts(parts, down, across, t, a, b);
    AMX_STORE(0, t->out[0], row);
    if (across == 2) AMX_STORE(1, t->out[1], row);
    if (down == 2) AMX_STORE(2, t->out[0] + 16 * t->ld, row);
    if (down == 2 && across == 2) AMX_STORE(3, t->out[1] + 16 * t->ld, row);
}

static ALWAYS_INLINE void multiply_shape(const int parts, const tile_sums *t)
{
    if (t->down == 2 && t->across == 2)
        multiply_tiles(parts, 2, 2, t);
    else if (t->down == 2)
        multiply_tiles(parts, 2, 1, t);
    else if (t->across == 2)
        multiply_tiles(parts, 1, 2, t);
    else
        multiply_tiles(parts, 1, 1, t);
}

static void tiles_multiply(const tile_sums *t)
{
    if (t->parts == 3)
        multiply_shape(3, t);
    else if (t->parts == 2)
        multiply_shape(2, t);
    else
        multiply_shape(1, t);
}
