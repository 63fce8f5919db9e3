/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first layer's products for sparse rows X [B × I], which touch only what is stored:
 *
 *     forward    out[B × O] = act(X · W + b)       by rows, columns increasing
 *     update     W ← solver(W, Xᵀ · delta)         by strips of 32 columns, rows increasing
 *
 * What is left out is x = 0, and fma(0, w, acc) is acc: the bits are those of the dense products as
 * long as W and delta are finite (and but for the sign of a zero that an underflow made). The solver
 * visits every weight, stored values or not: moments decay.
 *
 * Four rows are summed side by side, because one row's sum would wait for its own multiply-adds, four
 * cycles each. The gradient of a strip is summed in L1, value by value, in the order of the rows: by
 * columns, each with a few values, a loop's end would be mispredicted for each row of W. A layer with
 * one output has its own two products, as in column_tmpl.c.
 */

#define ROWS_ABREAST 4 /* divides MR */

/* acc += x[r, i] · W[column of i] for stored values i … end − 1 of one row. */
static ALWAYS_INLINE void sparse_multiply(const int nv, int64_t i, int64_t end,
                                          const uint32_t *columns, const real *values,
                                          const real *w, vf acc[NV])
{
    for (; i < end; i++) {
        const vf value = vf_set1(values[i]);
        const real *row = w + (int64_t)columns[i] * (nv * VF_LANES);
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[v] = vf_fma(value, vf_load(row + v * VF_LANES), acc[v]);
    }
}

/* The same for four rows from `row` on: together up to the shortest's end, then each alone. */
static ALWAYS_INLINE void sparse_rows(const int nv, const fbp_csr *x, int64_t row, const real *w,
                                      vf acc[ROWS_ABREAST][NV])
{
    const real *values = x->values;
    int64_t at[ROWS_ABREAST], common = INT64_MAX;
    for (int r = 0; r < ROWS_ABREAST; r++) {
        at[r] = x->begin[row + r];
        common = fbp_min(common, x->end[row + r] - at[r]);
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] = vf_set1(0);
    }
    for (int64_t i = 0; i < common; i++) {
        UNROLL
        for (int r = 0; r < ROWS_ABREAST; r++)
            sparse_multiply(nv, at[r] + i, at[r] + i + 1, x->columns, values, w, acc[r]);
    }
    UNROLL
    for (int r = 0; r < ROWS_ABREAST; r++)
        sparse_multiply(nv, at[r] + common, x->end[row + r], x->columns, values, w, acc[r]);
}

/* One column panel of the forward product; the epilogue is forward_panel's. */
static ALWAYS_INLINE void forward_sparse_panel(const int nv, int64_t rows, const fbp_csr *x,
                                               const real *w, const real *b, real *out,
                                               forward_op *act, forward_pass *pass)
{
    for (int64_t row = 0; row < rows; row += ROWS_ABREAST, out += ROWS_ABREAST * NR) {
        vf acc[ROWS_ABREAST][NV];
        sparse_rows(nv, x, row, w, acc);
        UNROLL
        for (int r = 0; r < ROWS_ABREAST; r++) {
            UNROLL
            for (int v = 0; v < nv; v++) {
                const vf z = vf_add(acc[r][v], vf_load(b + v * VF_LANES));
                vf_store(out + r * NR + v * VF_LANES, act(z));
            }
        }
        if (pass) pass(ROWS_ABREAST, nv, out);
    }
}

static ALWAYS_INLINE void forward_sparse_product(int64_t rows, int64_t fan_out, int64_t fan_in,
                                                 const fbp_csr *x, const real *w, const real *b,
                                                 real *out, int64_t out_stride, forward_op *act,
                                                 forward_pass *pass)
{
    for (; fan_out > 0; fan_out -= NR, w += fan_in * NR, b += NR, out += out_stride)
        SWITCH_NV(fan_out, forward_sparse_panel(nv, rows, x, w, b, out, act, pass));
}

/* One output: lane j of 16 sums the columns ≡ j mod 16, then column_tree. */
static void KERNEL(forward_sparse_column)(int64_t rows, int64_t fan_out, int64_t fan_in,
                                          const fbp_csr *x, const void *w_, const void *b,
                                          void *out_, int64_t out_stride)
{
    (void)fan_out, (void)fan_in, (void)out_stride;
    const real *w = w_, *values = x->values, bias = *(const real *)b;
    real *out = out_;
    for (int64_t row = 0; row < rows; row++) {
        real sums[FBP_COLUMN_LANES] = {0};
        for (int64_t i = x->begin[row]; i < x->end[row]; i++) {
            real *lane = &sums[x->columns[i] % FBP_COLUMN_LANES];
            *lane = real_fma(values[i], w[x->columns[i]], *lane);
        }
        vf lanes[SLOTS];
        for (int s = 0; s < SLOTS; s++)
            lanes[s] = vf_load(sums + s * VF_LANES);
        out[row] = column_tree(lanes) + bias;
    }
}

/* gradient[32 × width] += Xᵀ · delta for the stored values of one strip. */
static ALWAYS_INLINE void strip_multiply(const int nv, const fbp_strips *x, int64_t strip,
                                         const real *delta, real *gradient)
{
    const real *values = x->values;
    for (int64_t i = strip ? x->end[strip - 1] : 0; i < x->end[strip]; i++) {
        const vf value = vf_set1(values[i]);
        const real *d = delta + (int64_t)(x->places[i] / FBP_STRIP_ROWS) * NR;
        real *sums = gradient + x->places[i] % FBP_STRIP_ROWS * (nv * VF_LANES);
        UNROLL
        for (int v = 0; v < nv; v++)
            vf_store(sums + v * VF_LANES,
                     vf_fma(value, vf_load(d + v * VF_LANES), vf_load(sums + v * VF_LANES)));
    }
}

/* update_strip with the gradient from stored values. */
static ALWAYS_INLINE void update_sparse_strip(const int nv, const fbp_strip *s, const fbp_update *u,
                                              solver_op *step)
{
    const solver_constants c = make_solver_constants(u);
    const int64_t width = nv * VF_LANES, first = s->panel * NR * s->fan_in + s->i0 * width;
    const size_t bytes = sizeof(real) * (size_t)((s->i1 - s->i0) * width);
    const real *delta = (const real *)s->delta + s->panel * s->delta_stride;
    _Alignas(FBP_CACHE_LINE) real gradient[FBP_STRIP_ROWS * NR];
    if (u->first)
        memset(gradient, 0, bytes);
    else
        memcpy(gradient, (const real *)s->gw + first, bytes);
    strip_multiply(nv, s->x, s->i0 / FBP_STRIP_ROWS, delta, gradient);
    if (u->last)
        solve_strip(nv, s, u, gradient, &c, step);
    else
        memcpy((real *)s->gw + first, gradient, bytes);
    if (s->i0 == 0) update_intercepts(nv, s, u, delta, &c, step);
}

static ALWAYS_INLINE void update_sparse_product(const fbp_strip *s, const fbp_update *u,
                                                solver_op *step)
{
    SWITCH_NV(s->fan_out - s->panel * NR, update_sparse_strip(nv, s, u, step));
}

/* One output: rows i0 … i1 − 1 of w, which are one strip of X. */
static ALWAYS_INLINE void update_sparse_column_strip(const fbp_strip *s, const fbp_update *u,
                                                     int64_t i0, int64_t i1,
                                                     const solver_constants *c, solver_op *step)
{
    const int64_t strip = i0 / FBP_STRIP_ROWS;
    const size_t bytes = sizeof(real) * (size_t)(i1 - i0);
    const real *values = s->x->values, *delta = s->delta;
    real sums[FBP_STRIP_ROWS] = {0}, squares[VF_LANES] = {0};
    real *stored = s->gw ? (real *)s->gw + i0 : NULL;
    if (!u->first) memcpy(sums, stored, bytes);
    for (int64_t i = strip ? s->x->end[strip - 1] : 0; i < s->x->end[strip]; i++) {
        const uint32_t place = s->x->places[i];
        real *sum = &sums[place % FBP_STRIP_ROWS];
        *sum = real_fma(delta[place / FBP_STRIP_ROWS], values[i], *sum);
    }
    if (!u->last) memcpy(stored, sums, bytes);
    for (int64_t i = i0; u->last && i < i1; i += VF_LANES)
        update_row(1, sums + (i - i0), row_at(s->w, s->mw, i), weight_factors(u), squares, c, step);
}

static ALWAYS_INLINE void update_sparse_column(const fbp_strip *s, const fbp_update *u,
                                               solver_op *step)
{
    const solver_constants c = make_solver_constants(u);
    if (u->last) column_squares(s);
    for (int64_t i0 = 0; i0 < s->fan_in; i0 += FBP_STRIP_ROWS)
        update_sparse_column_strip(s, u, i0, fbp_min(s->fan_in, i0 + FBP_STRIP_ROWS), &c, step);
    update_column_intercept(s, u, &c, step);
}

#define FBP_SOLVER(NAME, name, n_moments)                                                    \
    static void KERNEL(update_sparse_##name)(const fbp_strip *s, const fbp_update *u)        \
    {                                                                                        \
        update_sparse_product(s, u, name##_step);                                            \
    }                                                                                        \
    static void KERNEL(update_sparse_column_##name)(const fbp_strip *s, const fbp_update *u) \
    {                                                                                        \
        update_sparse_column(s, u, name##_step);                                             \
    }
#include "registry.def"
