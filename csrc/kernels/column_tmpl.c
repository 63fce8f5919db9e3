/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The three products of an output layer with one unit (binary classification, one target): W, delta
 * and z are plain vectors, I = fan_in.
 *
 *     forward    z[B] = a[B × I] · w[I] + b
 *     backward   out[B × I] = (delta[B] ⊗ w[I]) ⊙ act'(a[B × I])
 *     update     w ← solver(w, aᵀ · delta)
 *
 * Padding one column to a vector's width would cost 16 times the work. Lane j of 16 sums the k ≡ j
 * mod 16, whatever the vector's width, then the lanes are added in a fixed tree.
 */

#define SLOTS (FBP_COLUMN_LANES / VF_LANES)

/* The sum of 16 lanes: 8 + 8, 4 + 4, 2 + 2, 1 + 1. */
static inline real column_tree(const vf lanes[SLOTS])
{
    real sum[FBP_COLUMN_LANES];
    for (int s = 0; s < SLOTS; s++)
        vf_store(sum + s * VF_LANES, lanes[s]);
    for (int half = FBP_COLUMN_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            sum[j] += sum[j + half];
    return sum[0];
}

static void KERNEL(forward_column)(int64_t rows, int64_t fan_out, int64_t fan_in, const void *a_,
                                   int64_t a_stride, const void *w_, const void *b, void *out_,
                                   int64_t out_stride)
{
    (void)fan_out, (void)out_stride;
    const real *a = a_, *w = w_, bias = *(const real *)b;
    real *out = out_;
    const int64_t n_vectors = fbp_ceil_div(fan_in, VF_LANES);
    /* Beyond fan_in, w holds zeros, but a may hold 0 · ∞ where a unit before it overflowed. */
    real inside[VF_LANES];
    for (int64_t j = 0; j < VF_LANES; j++)
        inside[j] = (real)((n_vectors - 1) * VF_LANES + j < fan_in);
    const vf zero = vf_set1(0);
    const vm edge = vf_eq(vf_load(inside), vf_set1(1));
    for (int64_t row = 0; row < rows; row += MR) {
        vf lanes[MR][SLOTS];
        for (int r = 0; r < MR; r++)
            for (int s = 0; s < SLOTS; s++)
                lanes[r][s] = vf_set1(0);
        for (int64_t q = 0; q < n_vectors; q++) {
            const vf wv = vf_load(w + q * VF_LANES);
            const real *column = a + (q / NV) * a_stride + row * NR + (q % NV) * VF_LANES;
            UNROLL
            for (int r = 0; r < MR; r++) {
                vf *lane = &lanes[r][q % SLOTS], value = vf_load(column + r * NR);
                if (q == n_vectors - 1) value = vf_select(edge, value, zero);
                *lane = vf_fma(value, wv, *lane);
            }
        }
        for (int r = 0; r < MR; r++)
            out[row + r] = column_tree(lanes[r]) + bias;
    }
}

static ALWAYS_INLINE void backward_column(int64_t rows, int64_t fan_in, const real *delta,
                                          const real *w, const real *a, int64_t stride, real *out,
                                          backward_op *act, backward_pass *pass)
{
    const vf zero = vf_set1(0);
    for (int64_t i = 0; i < fan_in; i += NR, a += stride, out += stride) {
        const int nv = (int)fbp_min(NV, fbp_ceil_div(fan_in - i, VF_LANES));
        for (int64_t row = 0; row < rows; row++) {
            const vf d = vf_set1(delta[row]);
            for (int v = 0; v < nv; v++) {
                const int64_t at = row * NR + v * VF_LANES;
                const vf product = vf_fma(d, vf_load(w + i + v * VF_LANES), zero);
                vf_store(out + at, act(product, vf_load(a + at)));
            }
        }
        if (pass) pass(rows, nv, out, a);
    }
}

/* Σ over rows of a[row, v] · delta[row] for one panel, rows in increasing order. */
static ALWAYS_INLINE void column_gradient(const int nv, int64_t rows, const real *a,
                                          const real *delta, vf acc[NV])
{
    for (int64_t k = 0; k < rows; k++) {
        const vf d = vf_set1(delta[k]);
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[v] = vf_fma(d, vf_load(a + k * NR + v * VF_LANES), acc[v]);
    }
}

/* One panel of w: nv vectors from column i on. */
static ALWAYS_INLINE void update_column_panel(const int nv, const fbp_strip *s, const fbp_update *u,
                                              int64_t i, const real *a, const solver_constants *c,
                                              solver_op *step)
{
    vf acc[NV];
    real gradient[NR], squares[NR] = {0};
    real *stored = s->gw ? (real *)s->gw + i : NULL;
    UNROLL
    for (int v = 0; v < nv; v++)
        acc[v] = u->first ? vf_set1(0) : vf_load(stored + v * VF_LANES);
    column_gradient(nv, s->rows, a, s->delta, acc);
    UNROLL
    for (int v = 0; v < nv; v++)
        vf_store((u->last ? gradient : stored) + v * VF_LANES, acc[v]);
    if (!u->last) return;
    /* w's padding must stay zero: beyond fan_in, a may hold act(0) ≠ 0. */
    for (int64_t j = s->fan_in - i; j < nv * VF_LANES; j++)
        gradient[j] = 0;
    update_row(nv, gradient, row_at(s->w, s->mw, i), weight_factors(u), squares, c, step);
}

/* The intercept: its gradient Σ delta, rows in increasing order. */
static ALWAYS_INLINE void update_column_intercept(const fbp_strip *s, const fbp_update *u,
                                                  const solver_constants *c, solver_op *step)
{
    const real *delta = s->delta;
    real gradient[VF_LANES] = {0}, squares[VF_LANES] = {0};
    gradient[0] = u->first ? 0 : *(const real *)s->gb;
    for (int64_t k = 0; k < s->rows; k++)
        gradient[0] += delta[k];
    if (!u->last) {
        *(real *)s->gb = gradient[0];
        return;
    }
    update_row(1, gradient, row_at(s->b, s->mb, 0), intercept_factors(u), squares, c, step);
}

/* Partial sums of w², before the update, by 32 rows. */
static inline void column_squares(const fbp_strip *s)
{
    const real *w = s->w;
    real *squares = s->squares;
    for (int64_t i0 = 0; i0 < s->fan_in; i0 += FBP_STRIP_ROWS) {
        real sum = 0;
        for (int64_t i = i0; i < fbp_min(s->fan_in, i0 + FBP_STRIP_ROWS); i++)
            sum = real_fma(w[i], w[i], sum);
        squares[i0 / FBP_STRIP_ROWS] = sum;
    }
}

static ALWAYS_INLINE void update_column(const fbp_strip *s, const fbp_update *u, solver_op *step)
{
    const solver_constants c = make_solver_constants(u);
    const real *a = s->a; /* NULL where there are no rows */
    if (u->last) column_squares(s);
    for (int64_t i = 0; i < s->fan_in; i += NR) {
        SWITCH_NV(s->fan_in - i, update_column_panel(nv, s, u, i, a, &c, step));
        if (a) a += s->a_stride;
    }
    update_column_intercept(s, u, &c, step);
}
