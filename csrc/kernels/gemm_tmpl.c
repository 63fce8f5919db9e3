/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two products of the rows phase, over panels (internal.h), B rows, I = fan_in, O = fan_out:
 *
 *     forward    out[B × O] = act(a[B × I] · W[I × O] + b)
 *     backward   out[B × I] = (delta[B × O] · Wᵀ[O × I]) ⊙ act'(a[B × I])
 *
 * Both are one micro-kernel, tile_multiply: MR rows × nv vectors of accumulators, one fused
 * multiply-add per element and k, k increasing, from +0. Column panels are the outer loop, row tiles
 * the inner one: a panel of W (k × NR) stays in L1 or L2 while a block's rows pass over it. Rows are
 * multiples of MR, columns multiples of the lanes: there are no edges, only zeros in the padding.
 *
 * No blocking over k: up to k = 2,048 the panel comes from L2 at 16 bytes a cycle, which it can give.
 */

static ALWAYS_INLINE void tile_clear(const int nv, vf acc[MR][NV])
{
    UNROLL
    for (int r = 0; r < MR; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] = vf_set1(0);
    }
}

/* acc[r][v] += Σ_k a[r, k] · b[k, v]; element (r, k) of a at r·a_row + k·a_k, row k of b at k·b_k. */
static ALWAYS_INLINE void tile_multiply(const int nv, int64_t k, const real *a, const int64_t a_row,
                                        const int64_t a_k, const real *b, const int64_t b_k,
                                        vf acc[MR][NV])
{
    for (; k > 0; k--, a += a_k, b += b_k) {
        vf bv[NV];
        UNROLL
        for (int v = 0; v < nv; v++)
            bv[v] = vf_load(b + v * VF_LANES);
        UNROLL
        for (int r = 0; r < MR; r++) {
            const vf ar = vf_set1(a[r * a_row]);
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[r][v] = vf_fma(ar, bv[v], acc[r][v]);
        }
    }
}

/* MR rows of a (panels, k columns) times one packed panel of nv vectors. */
static ALWAYS_INLINE void row_tile(const int nv, int64_t k, const real *a, int64_t a_stride,
                                   const real *w, vf acc[MR][NV])
{
    tile_clear(nv, acc);
    for (; k > 0; k -= NR, a += a_stride, w += NR * nv * VF_LANES)
        tile_multiply(nv, fbp_min(k, NR), a, NR, 1, w, nv * VF_LANES, acc);
}

typedef vf forward_op(vf z);
typedef vf backward_op(vf delta, vf a);

/* One column panel of the forward product. Activations of more than an instruction or two run as a
 * pass over the tile just stored, still in L1: in registers they would spill the accumulators. */
static ALWAYS_INLINE void forward_panel(const int nv, int64_t rows, int64_t fan_in, const real *a,
                                        int64_t a_stride, const real *w, const real *b, real *out,
                                        forward_op *act, const int cheap)
{
    for (int64_t row = 0; row < rows; row += MR, a += MR * NR, out += MR * NR) {
        vf acc[MR][NV];
        row_tile(nv, fan_in, a, a_stride, w, acc);
        UNROLL
        for (int r = 0; r < MR; r++) {
            UNROLL
            for (int v = 0; v < nv; v++) {
                const vf z = vf_add(acc[r][v], vf_load(b + v * VF_LANES));
                vf_store(out + r * NR + v * VF_LANES, cheap ? act(z) : z);
            }
        }
        if (!cheap)
            for (int r = 0; r < MR; r++)
                for (int v = 0; v < nv; v++) {
                    real *z = out + r * NR + v * VF_LANES;
                    vf_store(z, act(vf_load(z)));
                }
    }
}

/* One column panel of the backward data product; a is the panel's own activations. */
static ALWAYS_INLINE void backward_panel(const int nv, int64_t rows, int64_t fan_out,
                                         const real *delta, int64_t delta_stride, const real *wt,
                                         const real *a, real *out, backward_op *act)
{
    for (int64_t row = 0; row < rows; row += MR) {
        vf acc[MR][NV];
        row_tile(nv, fan_out, delta + row * NR, delta_stride, wt, acc);
        UNROLL
        for (int r = 0; r < MR; r++) {
            UNROLL
            for (int v = 0; v < nv; v++) {
                const int64_t at = (row + r) * NR + v * VF_LANES;
                vf_store(out + at, act(acc[r][v], vf_load(a + at)));
            }
        }
    }
}

static ALWAYS_INLINE void forward_product(int64_t rows, int64_t fan_out, int64_t fan_in,
                                          const real *a, int64_t a_stride, const real *w,
                                          const real *b, real *out, int64_t out_stride,
                                          forward_op *act, const int cheap)
{
    for (; fan_out > 0; fan_out -= NR, w += fan_in * NR, b += NR, out += out_stride)
        SWITCH_NV(fan_out, forward_panel(nv, rows, fan_in, a, a_stride, w, b, out, act, cheap));
}

static ALWAYS_INLINE void backward_product(int64_t rows, int64_t fan_in, int64_t fan_out,
                                           const real *delta, int64_t delta_stride, const real *wt,
                                           const real *a, int64_t stride, real *out,
                                           backward_op *act)
{
    for (; fan_in > 0; fan_in -= NR, wt += fan_out * NR, a += stride, out += stride)
        SWITCH_NV(fan_in, backward_panel(nv, rows, fan_out, delta, delta_stride, wt, a, out, act));
}
