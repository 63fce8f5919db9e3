/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Splitting: 16 × 16 numbers at a time become parts, in L1, and the parts go to their tiles (split.h).
 * With r a row and c a column of the block, and (·, ·) a pair of bfloat16 in 32 bits:
 *
 *     store_left     [r][c]                    16 of a left tile's 32 columns
 *     store_right    [r / 2][c] (r, r + 1)     8 of a right tile's 16 pairs, k along the rows
 *     store_left_t   [c][r]                    store_left of the transpose
 *     store_right_t  [c / 2][r] (c, c + 1)     store_right of the transpose
 *
 * The transposes exchange pairs, in registers: 16 shuffles for 256 numbers.
 */

typedef vf part_block[FBP_MAX_PARTS][FBP_TILE];

/* Run `call` with a constant `parts`. */
#define PARTS_CASE(count, call)   \
    case count: {                 \
        enum { parts = (count) }; \
        call;                     \
        break;                    \
    }
#define SWITCH_PARTS(n, call) \
    switch (n) {              \
        PARTS_CASE(1, call)   \
        PARTS_CASE(2, call)   \
        PARTS_CASE(3, call)   \
    }

/* x: 16 rows, `step` apart, of which `rows` are read, and `columns` of each; the rest is zero. */
static ALWAYS_INLINE void split_parts(const int parts, const real *x, int64_t step, int64_t rows,
                                      int64_t columns, part_block part)
{
    for (int r = 0; r < FBP_TILE; r++) {
        vf rest = r < rows ? vf_load_first(x + r * step, columns) : vf_set1(0);
        UNROLL
        for (int p = 0; p < parts; p++) {
            part[p][r] = vf_round_bf16(rest);
            rest = vf_sub(rest, part[p][r]);
        }
    }
}

static ALWAYS_INLINE void store_left(const int parts, const part_block part, int64_t half,
                                     uint16_t *tile)
{
    for (int p = 0; p < parts; p++, tile += FBP_TILE_SIZE)
        for (int r = 0; r < FBP_TILE; r++)
            vf_store_bf16(tile + r * FBP_TILE_K + half * FBP_TILE, part[p][r]);
}

static ALWAYS_INLINE void store_right(const int parts, const part_block part, int64_t half,
                                      uint16_t *tile)
{
    for (int p = 0; p < parts; p++, tile += FBP_TILE_SIZE)
        for (int q = 0; q < FBP_TILE / 2; q++)
            vb_store(tile + (half * FBP_TILE / 2 + q) * FBP_TILE_K,
                     vb_pair(part[p][2 * q], part[p][2 * q + 1]));
}

static ALWAYS_INLINE void store_left_t(const int parts, const part_block part, int64_t half,
                                       uint16_t *tile)
{
    for (int p = 0; p < parts; p++, tile += FBP_TILE_SIZE) {
        vb pairs[FBP_TILE / 2];
        for (int q = 0; q < FBP_TILE / 2; q++)
            pairs[q] = vb_pair(part[p][2 * q], part[p][2 * q + 1]);
        vb_store_transposed(pairs, tile + half * FBP_TILE, FBP_TILE_K, 8 * FBP_TILE_K);
    }
}

static ALWAYS_INLINE void store_right_t(const int parts, const part_block part, int64_t half,
                                        uint16_t *tile)
{
    for (int p = 0; p < parts; p++, tile += FBP_TILE_SIZE) {
        vb rows[FBP_TILE / 2];
        for (int r = 0; r < FBP_TILE / 2; r++)
            rows[r] = vb_join(part[p][r], part[p][r + FBP_TILE / 2]);
        vb_store_transposed(rows, tile + half * FBP_TILE / 2 * FBP_TILE_K, FBP_TILE_K, FBP_TILE);
    }
}

/* One block of rows of a (its batch operand is aᵀ, left) or of delta (right). */
static ALWAYS_INLINE void split_rows(const int parts, const int left, const fbp_split_block *b)
{
    const int64_t k_tiles = fbp_ceil_div(b->cols, FBP_TILE_K), size = parts * FBP_TILE_SIZE;
    const int64_t end = b->rows + (b->last ? (b->row + b->rows) % FBP_TILE_K : 0);
    for (int64_t r = 0; r < end; r += FBP_TILE)
        for (int64_t c = 0; c < k_tiles * FBP_TILE_K; c += FBP_TILE) {
            const int64_t at = (b->row + r) / FBP_TILE, half = c / FBP_TILE % 2;
            const int64_t rows = r < b->rows ? b->valid - r : 0;
            const real *x = b->x + c / NR * b->stride + r * NR + c % NR;
            part_block part;
            split_parts(parts, x, NR, b->cols > c ? rows : 0, b->cols - c, part);
            if (b->tiles && r < b->rows)
                store_left(parts, part, half,
                           b->tiles + (r / FBP_TILE * k_tiles + c / FBP_TILE_K) * size);
            if (!b->batch || c >= b->cols) continue;
            uint16_t *tile = b->batch + (c / FBP_TILE * b->batch_k + at / 2) * size;
            if (left)
                store_left_t(parts, part, at % 2, tile);
            else
                store_right(parts, part, at % 2, tile);
        }
}

static void KERNEL(split_a)(const fbp_split_block *b)
{
    SWITCH_PARTS(b->parts, split_rows(parts, 1, b));
}

static void KERNEL(split_delta)(const fbp_split_block *b)
{
    SWITCH_PARTS(b->parts, split_rows(parts, 0, b));
}

/* Rows i0 … i0 + 31 of one packed panel of W, nv vectors wide, into the tiles of W and of Wᵀ. */
static ALWAYS_INLINE void split_strip(const int parts, int64_t fan_in, int64_t fan_out, int64_t i0,
                                      int64_t panel, const real *w, uint16_t *w_tiles,
                                      uint16_t *wt_tiles)
{
    const int64_t size = parts * FBP_TILE_SIZE,
                  width = fbp_panel_width(fan_out, panel, VF_LANES, NR);
    const int64_t w_k = fbp_ceil_div(fan_in, FBP_TILE_K), wt_k = fbp_ceil_div(fan_out, FBP_TILE_K);
    for (int64_t i = i0; i < i0 + FBP_TILE_K; i += FBP_TILE)
        for (int64_t v = 0; v < width; v += FBP_TILE) {
            const int64_t j = panel * NR + v, column = j / FBP_TILE, row = i / FBP_TILE;
            part_block part;
            split_parts(parts, w + panel * NR * fan_in + i * width + v, width, fan_in - i,
                        fan_out - j, part);
            if (w_tiles)
                store_right(parts, part, row % 2, w_tiles + (column * w_k + row / 2) * size);
            if (wt_tiles && i < fan_in)
                store_right_t(parts, part, column % 2, wt_tiles + (row * wt_k + column / 2) * size);
        }
}

static void KERNEL(split_pack)(int n_parts, int64_t fan_in, int64_t fan_out, const void *w,
                               uint16_t *w_tiles, uint16_t *wt_tiles)
{
    for (int64_t panel = 0; panel * NR < fan_out; panel++)
        for (int64_t i0 = 0; i0 < fan_in; i0 += FBP_TILE_K)
            SWITCH_PARTS(n_parts,
                         split_strip(parts, fan_in, fan_out, i0, panel, w, w_tiles, wt_tiles));
}
