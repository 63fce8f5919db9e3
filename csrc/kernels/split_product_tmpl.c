/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The three products over tiles (split.h), and the table of a family's split kernels. Included once
 * per composition, after a vocabulary that adds to the float one the parts (vf_round_bf16 …) and
 *
 *     tiles_multiply    up to 2 × 2 tiles of sums += their left times their right tiles, k increasing
 *
 * and after macros_tmpl.c, MOST_PARTS, BREAK_EVEN and the functions START, ENTER and LEAVE, or NULL.
 *
 * Sums lie in memory between blocks of k, in the panels of the result, so that the left operand of a
 * block of rows stays in L2 while all columns pass over it; each sum is still one accumulator over k.
 * The epilogues are those of gemm_tmpl.c and update_tmpl.c, run on sums that are in L1.
 */

#include "math_tmpl.c"

#include "act_tmpl.c"
#include "pass_tmpl.c"

#include "gemm_tmpl.c"
#include "solver_tmpl.c"
#include "update_tmpl.c"

#include "split_tmpl.c"

#define BLOCK_K 16 /* tiles of k in a block */

/* Two columns of tiles, from column c on, over one block of k: the sums of all rows. */
static void product_columns(const fbp_split_product *p, int64_t c, int64_t k0)
{
    const int64_t k_tiles = fbp_ceil_div(p->k, FBP_TILE_K), size = p->parts * FBP_TILE_SIZE;
    const int64_t next = c + FBP_TILE;
    for (int64_t r = 0; r < p->rows; r += 2 * FBP_TILE) {
        const tile_sums sums = {
            .parts = p->parts,
            .down = p->rows - r > FBP_TILE ? 2 : 1,
            .across = p->n > next ? 2 : 1,
            .k = fbp_min(BLOCK_K, k_tiles - k0),
            .a = p->a + (r / FBP_TILE * k_tiles + k0) * size,
            .b = p->b + (c / FBP_TILE * k_tiles + k0) * size,
            .a_step = k_tiles * size,
            .b_step = k_tiles * size,
            .out = {p->out + c / NR * p->stride + r * NR + c % NR,
                    p->out + next / NR * p->stride + r * NR + next % NR},
            .ld = NR,
            .first = k0 == 0,
        };
        tiles_multiply(&sums);
    }
}

/* The whole product; each column of tiles through the epilogue when its sums are complete. */
static ALWAYS_INLINE void forward_split(const fbp_split_product *p, forward_op *act,
                                        forward_pass *pass)
{
    const int64_t k_tiles = fbp_ceil_div(p->k, FBP_TILE_K);
    for (int64_t k0 = 0; k0 < k_tiles; k0 += BLOCK_K)
        for (int64_t c = 0; c < p->n; c += FBP_TILE) {
            if (c % (2 * FBP_TILE) == 0) product_columns(p, c, k0);
            if (k0 + BLOCK_K < k_tiles) continue;
            const vf bias = vf_load(p->operand + c);
            real *z = p->out + c / NR * p->stride + c % NR;
            for (int64_t r = 0; r < p->rows; r++, z += NR)
                vf_store(z, act(vf_add(vf_load(z), bias)));
            if (pass) pass(p->rows, 1, p->out + c / NR * p->stride + c % NR);
        }
}

static ALWAYS_INLINE void backward_split(const fbp_split_product *p, backward_op *act,
                                         backward_pass *pass)
{
    const int64_t k_tiles = fbp_ceil_div(p->k, FBP_TILE_K);
    for (int64_t k0 = 0; k0 < k_tiles; k0 += BLOCK_K)
        for (int64_t c = 0; c < p->n; c += FBP_TILE) {
            if (c % (2 * FBP_TILE) == 0) product_columns(p, c, k0);
            if (k0 + BLOCK_K < k_tiles) continue;
            const int64_t at = c / NR * p->stride + c % NR;
            for (int64_t r = at; r < at + p->rows * NR; r += NR)
                vf_store(p->out + r, act(vf_load(p->out + r), vf_load(p->operand + r)));
            if (pass) pass(p->rows, 1, p->out + at, p->operand + at);
        }
}

/* The sums of a strip [32 × nv vectors], from zero or from the stored gradient on. */
static void strip_sums(const int nv, const fbp_split_strip *t, int first, real *sums)
{
    const fbp_strip *s = t->strip;
    const int64_t size = t->parts * FBP_TILE_SIZE, step = t->batch_k * size;
    for (int v = 0; v < nv; v += 2) {
        const tile_sums tiles = {
            .parts = t->parts,
            .down = s->i1 - s->i0 > FBP_TILE ? 2 : 1,
            .across = nv - v > 1 ? 2 : 1,
            .k = fbp_ceil_div(s->rows, FBP_TILE_K),
            .a = t->a + s->i0 / FBP_TILE * step,
            .b = t->delta + (s->panel * NV + v) * step,
            .a_step = step,
            .b_step = step,
            .out = {sums + v * FBP_TILE, sums + (v + 1) * FBP_TILE},
            .ld = nv * FBP_TILE,
            .first = first,
        };
        tiles_multiply(&tiles);
    }
}

/* W ← solver(W, aᵀ · delta) for one strip, then W's parts. Without last, only the sums are stored. */
static ALWAYS_INLINE void update_split(const int nv, const fbp_split_strip *t, const fbp_update *u,
                                       solver_op *step)
{
    const fbp_strip *s = t->strip;
    const solver_constants c = make_solver_constants(u);
    const int64_t width = nv * VF_LANES, size = (s->i1 - s->i0) * width;
    const int64_t first = s->panel * NR * s->fan_in + s->i0 * width;
    const real *delta = (const real *)s->delta + s->panel * s->delta_stride;
    _Alignas(FBP_CACHE_LINE) real sums[FBP_STRIP_ROWS * NR];
    if (!u->first) {
        memset(sums, 0, sizeof sums); /* rows beyond the strip's are added to, too */
        memcpy(sums, (real *)s->gw + first, sizeof(real) * (size_t)size);
    }
    if (s->rows > 0) strip_sums(nv, t, u->first, sums);
    if (!u->last) {
        memcpy((real *)s->gw + first, sums, sizeof(real) * (size_t)size);
    } else {
        solve_strip(nv, s, u, sums, &c, step);
        if (t->w_tiles)
            SWITCH_PARTS(t->parts, split_strip(parts, s->fan_in, s->fan_out, s->i0, s->panel, s->w,
                                               t->w_tiles, t->wt_tiles));
    }
    if (s->i0 == 0) update_intercepts(nv, s, u, delta, &c, step);
}

/* The products that end with a pass: one instance each. */

static NOINLINE void forward_then(const fbp_split_product *p, forward_pass *pass)
{
    forward_split(p, identity_forward, pass);
}

static NOINLINE void backward_then(const fbp_split_product *p, backward_pass *pass)
{
    backward_split(p, identity_backward, pass);
}

#define FORWARD_FUSED(name) forward_split(p, name##_forward, NULL)
#define FORWARD_PASS(name) forward_then(p, name##_forward_pass)
#define FORWARD_STORED(name) forward_then(p, name##_forward_pass)
#define BACKWARD_FUSED(name) backward_split(p, name##_backward, NULL)
#define BACKWARD_PASS(name) backward_then(p, name##_backward_pass)
#define BACKWARD_STORED(name) backward_then(p, slopes_backward_pass)

#define FBP_ACTIVATION(NAME, name, how)                                                           \
    static void KERNEL(split_forward_##name)(const fbp_split_product *p) { FORWARD_##how(name); } \
    static void KERNEL(split_backward_##name)(const fbp_split_product *p) { BACKWARD_##how(name); }
#include "registry.def"

static void KERNEL(split_backward_slopes)(const fbp_split_product *p) { BACKWARD_STORED(slopes); }

#define FBP_SOLVER(NAME, name, n_moments)                                                  \
    static void KERNEL(split_update_##name)(const fbp_split_strip *t, const fbp_update *u) \
    {                                                                                      \
        const fbp_strip *s = t->strip;                                                     \
        SWITCH_NV(s->fan_out - s->panel * NR, update_split(nv, t, u, name##_step));        \
    }
#include "registry.def"

static const fbp_split_kernels KERNEL(split_table) = {
    .most_parts = MOST_PARTS,
    .break_even = BREAK_EVEN,
    .start = START,
    .enter = ENTER,
    .leave = LEAVE,
    .split_a = KERNEL(split_a),
    .split_delta = KERNEL(split_delta),
    .forward =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(split_forward_##name),
#include "registry.def"
        },
    .backward =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(split_backward_##name),
#include "registry.def"
        },
    .backward_slopes = KERNEL(split_backward_slopes),
    .update =
        {
#define FBP_SOLVER(NAME, name, n_moments) KERNEL(split_update_##name),
#include "registry.def"
        },
    .pack = KERNEL(split_pack),
};

const fbp_split_kernels *const KERNEL(fbp_split) = &KERNEL(split_table);
