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

/* The row at an offset in w and its companions; one that the solver does not keep, NULL, is never looked
 * at, and w stands for it, so that no offset is added to NULL. */
static ALWAYS_INLINE parameter_row row_at(void *w, void *const state[2], int64_t at)
{
    return (parameter_row){(real *)w + at, (real *)(state[0] ? state[0] : w) + at,
                           (real *)(state[1] ? state[1] : w) + at};
}

/* What a strip's solver will need, prefetched while its product is computed: w, the solver's state and
 * Wᵀ, one after the other, a share with each tile. */
typedef struct {
    const real *state[2 + FBP_MAX_MOMENTS];
    int64_t bytes; /* of each */
    int64_t n_state, n_tiles, tile, strip_tiles;
} strip_ahead;

static inline strip_ahead plan_ahead(const fbp_strip *s, int64_t first, int64_t size,
                                     int64_t n_blocks)
{
    strip_ahead p = {.bytes = size * (int64_t)sizeof(real),
                     .strip_tiles = fbp_ceil_div(s->i1 - s->i0, MR)};
    p.state[p.n_state++] = (const real *)s->w + first;
    for (int m = 0; m < FBP_MAX_MOMENTS; m++)
        if (s->mw[m]) p.state[p.n_state++] = (const real *)s->mw[m] + first;
    if (s->wt) {
        const int64_t q = s->i0 / NR, ldt = fbp_panel_width(s->fan_in, q, VF_LANES, NR);
        p.state[p.n_state++] = (const real *)s->wt + q * NR * s->fan_out + s->panel * NR * ldt;
    }
    p.n_tiles = p.strip_tiles * n_blocks;
    return p;
}

/* a, delta: the rows that come after these k. */
static ALWAYS_INLINE prefetch strip_prefetch(const strip_ahead *p, const real *a, const real *delta,
                                             int64_t k)
{
    const int64_t tiles = fbp_max(1, p->n_tiles / p->n_state);
    const int64_t delta_share = NR * k * (int64_t)sizeof(real) / p->strip_tiles;
    const int64_t share = p->bytes / tiles;
    const char *state = (const char *)p->state[fbp_min(p->tile / tiles, p->n_state - 1)];
    return (prefetch){
        .near = (const char *)a,
        .near_step = NR * sizeof(real),
        .far = (const char *)delta + p->tile % p->strip_tiles * delta_share,
        .far_step = delta_share / k,
        .state = state + p->tile % tiles * share,
        .state_step = share / k,
    };
}

/* gradient[strip × width] += aᵀ · delta over all rows, at most KC at a time: so much of delta stays in
 * L1 for the tiles of the strip. Blocks of equal length, so that each can fetch the next: of this
 * strip, then of the thread's next one. */
static ALWAYS_INLINE void strip_product(const int nv, const fbp_strip *s, const real *delta,
                                        int64_t block, strip_ahead *ahead, real *gradient)
{
    for (int64_t k0 = 0; k0 < s->rows; k0 += block, delta += block * NR) {
        const int64_t k = fbp_min(block, s->rows - k0);
        const int ends = k0 + k == s->rows && s->next_a;
        const real *next_delta = ends ? s->next_delta : s->fresh ? delta + k * NR : delta;
        for (int64_t i = s->i0; i < s->i1; i += MR, ahead->tile++) {
            const real *a = (const real *)s->a + (i / NR) * s->a_stride + i % NR + k0 * NR;
            const real *next_a = ends ? (const real *)s->next_a + (i - s->i0) : a + k * NR;
            real *tile = gradient + (i - s->i0) * nv * VF_LANES;
            prefetch next = strip_prefetch(ahead, next_a, next_delta, k);
            vf acc[MR][NV];
            tile_load(nv, tile, nv * VF_LANES, acc);
            tile_multiply(nv, k, a, 1, NR, delta, NR, &next, acc);
            tile_store(nv, acc, tile, nv * VF_LANES);
        }
    }
}

/* What a row's gradient and weights meet before the solver: the penalty α·w, 1 / Σ weights, and
 * decoupled decay, which takes w·(1 − ηλ) whatever the gradient (Loshchilov and Hutter, 2019,
 * algorithms 1 and 2). */
typedef struct {
    vf alpha, scale, keep;
} row_factors;

static inline row_factors weight_factors(const fbp_update *u)
{
    return (row_factors){vf_set1((real)u->alpha), vf_set1((real)u->scale),
                         vf_set1((real)(1 - u->decay))};
}

/* Intercepts go free of penalty and decay. */
static inline row_factors intercept_factors(const fbp_update *u)
{
    return (row_factors){vf_set1(0), vf_set1((real)u->scale), vf_set1(1)};
}

/* n_vectors of one row through the solver; squares += w² where given. */
static ALWAYS_INLINE void update_row(const int nv, const real *gradient, parameter_row row,
                                     row_factors f, real *squares, const solver_constants *c,
                                     solver_op *step)
{
    UNROLL
    for (int v = 0; v < nv; v++) {
        const int64_t at = v * VF_LANES;
        const vf w = vf_load(row.w + at);
        const vf g = vf_mul(vf_fma(f.alpha, w, vf_load(gradient + at)), f.scale);
        vf_store(squares + at, vf_fma(w, w, vf_load(squares + at)));
        vf_store(row.w + at, step(vf_mul(w, f.keep), g, row.state0 + at, row.state1 + at, c));
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
    update_row(nv, gradient, row_at(s->b, s->mb, at), intercept_factors(u), unused, c, step);
}

/* The strip's gradient through the solver, into W and Wᵀ. */
static ALWAYS_INLINE void solve_strip(const int nv, const fbp_strip *s, const fbp_update *u,
                                      const real *gradient, const solver_constants *c,
                                      solver_op *step)
{
    const row_factors f = weight_factors(u);
    const int64_t width = nv * VF_LANES, base = s->panel * NR * s->fan_in;
    const int64_t columns = fbp_min(NR, s->fan_out - s->panel * NR);
    real *w = (real *)s->w + base;
    real *squares = (real *)s->squares +
                    (s->i0 / FBP_STRIP_ROWS) * fbp_round_up(s->fan_out, VF_LANES) + s->panel * NR;
    memset(squares, 0, sizeof(real) * (size_t)width);
    for (int64_t i = s->i0; i < s->i1; i += MR) {
        const int mr = (int)fbp_min(MR, s->i1 - i);
        for (int r = 0; r < mr; r++) {
            const int64_t at = (i + r) * width;
            const parameter_row row = row_at(s->w, s->mw, base + at);
            update_row(nv, gradient + at - s->i0 * width, row, f, squares, c, step);
        }
        if (!s->wt) continue;
        const int64_t p = i / NR, ldt = fbp_panel_width(s->fan_in, p, VF_LANES, NR);
        real *wt = (real *)s->wt + p * NR * s->fan_out + s->panel * NR * ldt + i % NR;
        store_transposed(mr, columns, w + i * width, width, wt, ldt);
    }
}

static ALWAYS_INLINE void update_strip(const int nv, const fbp_strip *s, const fbp_update *u,
                                       solver_op *step)
{
    const solver_constants c = make_solver_constants(u);
    const int64_t width = nv * VF_LANES, size = (s->i1 - s->i0) * width;
    const int64_t first = s->panel * NR * s->fan_in + s->i0 * width;
    const real *delta = (const real *)s->delta + s->panel * s->delta_stride;
    _Alignas(FBP_CACHE_LINE) real gradient[FBP_STRIP_ROWS * NR];
    const int64_t n_blocks = fbp_max(1, fbp_ceil_div(s->rows, KC));
    const int64_t block = fbp_ceil_div(s->rows, n_blocks);
    strip_ahead ahead = plan_ahead(s, first, size, n_blocks);
    /* A last tile of fewer than MR rows computes MR: the rest must not start from garbage. */
    memset(gradient, 0, sizeof gradient);
    if (!u->first) memcpy(gradient, (real *)s->gw + first, sizeof(real) * (size_t)size);
    strip_product(nv, s, delta, block, &ahead, gradient);
    if (u->last)
        solve_strip(nv, s, u, gradient, &c, step);
    else
        memcpy((real *)s->gw + first, gradient, sizeof(real) * (size_t)size);
    if (s->i0 == 0) update_intercepts(nv, s, u, delta, &c, step);
}

static ALWAYS_INLINE void update_product(const fbp_strip *s, const fbp_update *u, solver_op *step)
{
    SWITCH_NV(s->fan_out - s->panel * NR, update_strip(nv, s, u, step));
}
