/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The product of the weights phase, with the solver as its epilogue, for one strip of at most 32 rows
 * of W and one column panel (B rows in the batch):
 *
 *     W ← solver(W, (aᵀ[I × B] · delta[B × O] + α·W) / Σ weights)
 *
 * The micro-kernel is the row products' own, with the strides exchanged: a tile's MR rows are MR
 * neighbouring columns of a. The finished tile passes through a buffer in L1, since a solver needs
 * more registers than the accumulators leave; that costs 48 loads and stores against 12 cycles times
 * B. The gradient goes to memory only between the chunks of a batch beyond FBP_CHUNK_ROWS.
 * The update writes both layouts that the next step reads, W and Wᵀ.
 */

typedef vf solver_op(vf w, vf g, real *state0, real *state1, const solver_constants *c);

/* Where a row of parameters and its companions lie. */
typedef struct {
    real *w, *state0, *state1;
} parameter_row;

/* Without first, go on from the stored gradient; without last, only store it. */
static ALWAYS_INLINE void strip_tile(const int nv, int64_t rows, const real *a, const real *delta,
                                     const real *stored, int mr, real tile[MR * NR])
{
    vf acc[MR][NV];
    tile_clear(nv, acc);
    if (stored) {
        memcpy(tile, stored, sizeof(real) * (size_t)(mr * nv * VF_LANES));
        UNROLL
        for (int r = 0; r < MR; r++) {
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[r][v] = vf_load(tile + (r * nv + v) * VF_LANES);
        }
    }
    tile_multiply(nv, rows, a, 1, NR, delta, NR, acc);
    UNROLL
    for (int r = 0; r < MR; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            vf_store(tile + (r * nv + v) * VF_LANES, acc[r][v]);
    }
}

/* n_vectors of one row through the solver; squares += w² where given. */
static ALWAYS_INLINE void update_row(const int nv, const real *gradient, parameter_row row,
                                     vf alpha, vf scale, real *squares, const solver_constants *c,
                                     solver_op *step)
{
    UNROLL
    for (int v = 0; v < nv; v++) {
        const int64_t at = v * VF_LANES;
        const vf w = vf_load(row.w + at);
        const vf g = vf_mul(vf_fma(alpha, w, vf_load(gradient + at)), scale);
        vf_store(squares + at, vf_fma(w, w, vf_load(squares + at)));
        vf_store(row.w + at, step(w, g, row.state0 + at, row.state1 + at, c));
    }
}

/* mr rows of updated weights, width reals each, into Wᵀ, whose rows are ldt apart. */
static inline void store_transposed(int mr, int64_t columns, const real *w, int64_t width, real *wt,
                                    int64_t ldt)
{
    int64_t j = 0;
    if (mr == MR)
        for (; j + 4 <= columns; j += 4)
            for (int r = 0; r < MR; r += 4)
                tile_transpose_4x4(w + r * width + j, width, wt + j * ldt + r, ldt);
    for (; j < columns; j++)
        for (int r = 0; r < mr; r++)
            wt[j * ldt + r] = w[r * width + j];
}

/* Intercepts of a panel: gradient Σ_B delta, rows in increasing order; no penalty. */
static ALWAYS_INLINE void update_intercepts(const int nv, const fbp_strip *s, const fbp_update *u,
                                            const real *delta, const solver_constants *c,
                                            solver_op *step)
{
    const int64_t at = s->panel * NR;
    real *stored = s->gb ? (real *)s->gb + at : NULL;
    vf acc[NV];
    real gradient[NR], unused[NR] = {0};
    UNROLL
    for (int v = 0; v < nv; v++)
        acc[v] = u->first ? vf_set1(0) : vf_load(stored + v * VF_LANES);
    for (int64_t k = 0; k < s->rows; k++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[v] = vf_add(acc[v], vf_load(delta + k * NR + v * VF_LANES));
    }
    UNROLL
    for (int v = 0; v < nv; v++)
        vf_store((u->last ? gradient : stored) + v * VF_LANES, acc[v]);
    if (!u->last) return;
    parameter_row row = {(real *)s->b + at, unused, unused};
    if (s->mb[0]) row.state0 = (real *)s->mb[0] + at;
    if (s->mb[1]) row.state1 = (real *)s->mb[1] + at;
    update_row(nv, gradient, row, vf_set1(0), vf_set1((real)u->scale), unused, c, step);
}

static ALWAYS_INLINE void update_strip(const int nv, const fbp_strip *s, const fbp_update *u,
                                       solver_op *step)
{
    const solver_constants c = make_solver_constants(u);
    const vf alpha = vf_set1((real)u->alpha), scale = vf_set1((real)u->scale);
    const int64_t width = nv * VF_LANES, base = s->panel * NR * s->fan_in;
    const int64_t columns = fbp_min(NR, s->fan_out - s->panel * NR);
    const real *a = s->a, *delta = (const real *)s->delta + s->panel * s->delta_stride;
    real *w = (real *)s->w + base, *g = s->gw ? (real *)s->gw + base : NULL;
    real *m0 = s->mw[0] ? (real *)s->mw[0] + base : NULL;
    real *m1 = s->mw[1] ? (real *)s->mw[1] + base : NULL;
    real *squares = (real *)s->squares +
                    (s->i0 / FBP_STRIP_ROWS) * fbp_round_up(s->fan_out, VF_LANES) + s->panel * NR;
    real tile[MR * NR];

    if (u->last) memset(squares, 0, sizeof(real) * (size_t)width);
    for (int64_t i = s->i0; i < s->i1; i += MR) {
        const int mr = (int)fbp_min(MR, s->i1 - i);
        const real *ai = a + (i / NR) * s->a_stride + i % NR;
        strip_tile(nv, s->rows, ai, delta, u->first ? NULL : g + i * width, mr, tile);
        if (!u->last) {
            memcpy(g + i * width, tile, sizeof(real) * (size_t)(mr * width));
            continue;
        }
        for (int r = 0; r < mr; r++) {
            const int64_t at = (i + r) * width;
            const parameter_row row = {w + at, m0 ? m0 + at : NULL, m1 ? m1 + at : NULL};
            update_row(nv, tile + r * width, row, alpha, scale, squares, &c, step);
        }
        if (s->wt) {
            const int64_t p = i / NR, ldt = fbp_panel_width(s->fan_in, p, VF_LANES, NR);
            real *wt = (real *)s->wt + p * NR * s->fan_out + s->panel * NR * ldt + i % NR;
            store_transposed(mr, columns, w + i * width, width, wt, ldt);
        }
    }
    if (s->i0 == 0) update_intercepts(nv, s, u, delta, &c, step);
}

static ALWAYS_INLINE void update_product(const fbp_strip *s, const fbp_update *u, solver_op *step)
{
    SWITCH_NV(s->fan_out - s->panel * NR, update_strip(nv, s, u, step));
}
