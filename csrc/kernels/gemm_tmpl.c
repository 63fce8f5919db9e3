/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two products of the rows phase, over panels (internal.h), B rows, I = fan_in, O = fan_out:
 *
 *     forward    out[B × O] = act(a[B × I] · W[I × O] + b)
 *     backward   out[B × I] = (delta[B × O] · Wᵀ[O × I]) ⊙ act'(a[B × I])
 *
 * Both are one micro-kernel, tile_multiply: MR rows × nv vectors of accumulators, one fused
 * multiply-add per element and k, k increasing, from +0. Rows are multiples of MR, columns multiples
 * of the lanes: there are no edges, only zeros in the padding.
 *
 * Loops, outermost first: column panels; KC of k, so that KC rows of a panel of W stay in L1; tiles of
 * rows, whose part of a is in L2. Between blocks of k the accumulators rest in out, which changes no
 * bit. While a tile is multiplied, what comes next is prefetched: the lines that the tile will be
 * written to, and its share of the next KC rows of W, which a wide layer keeps in the third-level cache.
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

static ALWAYS_INLINE void tile_load(const int nv, const real *from, const int64_t row,
                                    vf acc[MR][NV])
{
    UNROLL
    for (int r = 0; r < MR; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] = vf_load(from + r * row + v * VF_LANES);
    }
}

static ALWAYS_INLINE void tile_store(const int nv, vf acc[MR][NV], real *to, const int64_t row)
{
    UNROLL
    for (int r = 0; r < MR; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            vf_store(to + r * row + v * VF_LANES, acc[r][v]);
    }
}

/* What to prefetch while a tile is multiplied: with every k one address each, a step further. */
typedef struct {
    const char *near, *far, *state; /* into L1, into L2; of the weights phase alone, into L2 */
    int64_t near_step, far_step, state_step;
    int write; /* near is going to be written: a constant, as is whether there is a state */
} prefetch;

/* acc[r][v] += Σ_k a[r, k] · b[k, v]; element (r, k) of a at r·a_row + k·a_k, row k of b at k·b_k. */
static ALWAYS_INLINE void tile_multiply(const int nv, int64_t k, const real *a, const int64_t a_row,
                                        const int64_t a_k, const real *b, const int64_t b_k,
                                        prefetch *ahead, vf acc[MR][NV])
{
    const char *near = ahead->near, *far = ahead->far, *state = ahead->state;
    for (; k > 0; k--, a += a_k, b += b_k) {
        if (ahead->write)
            PREFETCH_WRITE(near);
        else
            PREFETCH_L1(near);
        PREFETCH_L2(far);
        near += ahead->near_step;
        far += ahead->far_step;
        if (ahead->state) {
            PREFETCH_L2(state);
            state += ahead->state_step;
        }
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
    ahead->near = near;
    ahead->far = far;
    if (ahead->state) ahead->state = state;
}

/* MR rows of a (panels, k ≤ KC columns) times k rows of one packed panel of nv vectors. */
static ALWAYS_INLINE void row_tile(const int nv, int64_t k, const real *a, int64_t a_stride,
                                   const real *w, prefetch *ahead, vf acc[MR][NV])
{
    for (; k > 0; k -= NR, a += a_stride, w += NR * nv * VF_LANES)
        tile_multiply(nv, fbp_min(k, NR), a, NR, 1, w, nv * VF_LANES, ahead, acc);
}

/* For row tile number `tile` of a block: its lines of out, and its share of the k rows of W that follow
 * these k. (Beyond the last, what lies there; a prefetch of any address is harmless.) */
static ALWAYS_INLINE prefetch row_prefetch(const int nv, int64_t k, const real *w, const real *out,
                                           int64_t tile, int64_t n_tiles)
{
    const int64_t bytes = k * nv * VF_LANES * (int64_t)sizeof(real), share = bytes / n_tiles;
    return (prefetch){
        .write = 1,
        .near = (const char *)(out + tile * MR * NR),
        .near_step = MR * NR * (int64_t)sizeof(real) / k,
        .far = (const char *)w + bytes + tile * share,
        .far_step = share / k,
    };
}

/* Bias and activation of a finished tile, into out, then the pass, if any (pass_tmpl.c). */
static ALWAYS_INLINE void forward_epilogue(const int nv, vf acc[MR][NV], const real *b, real *out,
                                           forward_op *act, forward_pass *pass)
{
    UNROLL
    for (int r = 0; r < MR; r++) {
        UNROLL
        for (int v = 0; v < nv; v++) {
            const vf z = vf_add(acc[r][v], vf_load(b + v * VF_LANES));
            vf_store(out + r * NR + v * VF_LANES, act(z));
        }
    }
    if (pass) pass(MR, nv, out);
}

/* One column panel of the forward product. */
static ALWAYS_INLINE void forward_panel(const int nv, int64_t rows, int64_t fan_in, const real *a,
                                        int64_t a_stride, const real *w, const real *b, real *out,
                                        forward_op *act, forward_pass *pass)
{
    for (int64_t k0 = 0; k0 < fan_in; k0 += KC, a += KC / NR * a_stride, w += KC * nv * VF_LANES) {
        const int64_t k = fbp_min(KC, fan_in - k0);
        for (int64_t row = 0; row < rows; row += MR) {
            vf acc[MR][NV];
            prefetch ahead = row_prefetch(nv, k, w, out, row / MR, rows / MR);
            if (k0 == 0)
                tile_clear(nv, acc);
            else
                tile_load(nv, out + row * NR, NR, acc);
            row_tile(nv, k, a + row * NR, a_stride, w, &ahead, acc);
            if (k0 + KC < fan_in)
                tile_store(nv, acc, out + row * NR, NR);
            else
                forward_epilogue(nv, acc, b, out + row * NR, act, pass);
        }
    }
}

/* One column panel of the backward data product; a is the panel's own activations. */
static ALWAYS_INLINE void backward_panel(const int nv, int64_t rows, int64_t fan_out,
                                         const real *delta, int64_t delta_stride, const real *wt,
                                         const real *a, real *out, backward_op *act,
                                         backward_pass *pass)
{
    for (int64_t k0 = 0; k0 < fan_out;
         k0 += KC, delta += KC / NR * delta_stride, wt += KC * nv * VF_LANES) {
        const int64_t k = fbp_min(KC, fan_out - k0);
        for (int64_t row = 0; row < rows; row += MR) {
            vf acc[MR][NV];
            prefetch ahead = row_prefetch(nv, k, wt, out, row / MR, rows / MR);
            if (k0 == 0)
                tile_clear(nv, acc);
            else
                tile_load(nv, out + row * NR, NR, acc);
            row_tile(nv, k, delta + row * NR, delta_stride, wt, &ahead, acc);
            if (k0 + KC < fan_out) {
                tile_store(nv, acc, out + row * NR, NR);
                continue;
            }
            UNROLL
            for (int r = 0; r < MR; r++) {
                UNROLL
                for (int v = 0; v < nv; v++) {
                    const int64_t at = (row + r) * NR + v * VF_LANES;
                    vf_store(out + at, act(acc[r][v], vf_load(a + at)));
                }
            }
            if (pass) pass(MR, nv, out + row * NR, a + row * NR);
        }
    }
}

static ALWAYS_INLINE void forward_product(int64_t rows, int64_t fan_out, int64_t fan_in,
                                          const real *a, int64_t a_stride, const real *w,
                                          const real *b, real *out, int64_t out_stride,
                                          forward_op *act, forward_pass *pass)
{
    for (; fan_out > 0; fan_out -= NR, w += fan_in * NR, b += NR, out += out_stride)
        SWITCH_NV(fan_out, forward_panel(nv, rows, fan_in, a, a_stride, w, b, out, act, pass));
}

static ALWAYS_INLINE void backward_product(int64_t rows, int64_t fan_in, int64_t fan_out,
                                           const real *delta, int64_t delta_stride, const real *wt,
                                           const real *a, int64_t stride, real *out,
                                           backward_op *act, backward_pass *pass)
{
    for (; fan_in > 0; fan_in -= NR, wt += fan_out * NR, a += stride, out += stride)
        SWITCH_NV(fan_in,
                  backward_panel(nv, rows, fan_out, delta, delta_stride, wt, a, out, act, pass));
}
