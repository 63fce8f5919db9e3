/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forward product of a few rows, which reads W [I × O] where the user has it, row-major:
 *
 *     out[rows × O] = a[rows × I] · W[I × O] + b[O]
 *
 * over all of I, or over a part of it: without `first` it goes on from out, without b it does not end.
 * Packing W costs more than multiplying a few rows by it. Each element is the same accumulation as in
 * the packed products (gemm_tmpl.c, column_tmpl.c): same bits. a and out are row-major; a row of out
 * has room up to whole vectors, and what lands beyond O is not read. Nothing beyond W, a and b is.
 *
 * A vector of columns that would pass the end of W's row moves back to end with it: the columns that
 * two vectors share get the same value twice. Fewer columns than lanes run on into W's next rows, and
 * through a buffer at its end.
 *
 * k is blocked, with out as the accumulator between blocks: the blocks of 16 rows of W are then read
 * from end to end, as fast as memory gives them, and not 512 bytes here and there (a factor of two
 * at 2,048 columns).
 */

#define ROW_NV 8 /* vectors of accumulators for a single row: what hides a multiply-add's latency */
#define ROWS_K 16

/* nr rows × nv vectors, the last one `last` columns in; without first, go on from out; with b, end. */
static ALWAYS_INLINE void rows_tile(const int nr, const int nv, int64_t k, const real *a,
                                    int64_t lda, const real *w, int64_t ldw, int64_t last,
                                    int first, const real *b, real *out, int64_t ldo)
{
    vf acc[MR][ROW_NV], wv[ROW_NV];
    UNROLL
    for (int r = 0; r < nr; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] =
                first ? vf_set1(0) : vf_load(out + r * ldo + (v == nv - 1 ? last : v * VF_LANES));
    }
    for (int64_t i = 0; i < k; i++, w += ldw) {
        UNROLL
        for (int v = 0; v < nv; v++)
            wv[v] = vf_load(w + (v == nv - 1 ? last : v * VF_LANES));
        UNROLL
        for (int r = 0; r < nr; r++) {
            const vf ar = vf_set1(a[r * lda + i]);
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[r][v] = vf_fma(ar, wv[v], acc[r][v]);
        }
    }
    UNROLL
    for (int r = 0; r < nr; r++) {
        UNROLL
        for (int v = 0; v < nv; v++) {
            const int64_t at = v == nv - 1 ? last : v * VF_LANES;
            vf_store(out + r * ldo + at, b ? vf_add(acc[r][v], vf_load(b + at)) : acc[r][v]);
        }
    }
}

/* Fewer columns than lanes: one vector, whose upper lanes go their own way unread. */
static ALWAYS_INLINE void rows_narrow(const int nr, int64_t fan_out, int64_t k, const real *a,
                                      int64_t lda, const real *w, int first, const real *b,
                                      real *out, int64_t ldo)
{
    vf acc[MR];
    const vf bias = b ? load_tail(b, fan_out) : vf_set1(0);
    UNROLL
    for (int r = 0; r < nr; r++)
        acc[r] = first ? vf_set1(0) : vf_load(out + r * ldo);
    for (int64_t i = 0; i < k; i++) {
        const vf wv = load_tail(w + i * fan_out, (k - i) * fan_out);
        UNROLL
        for (int r = 0; r < nr; r++)
            acc[r] = vf_fma(vf_set1(a[r * lda + i]), wv, acc[r]);
    }
    UNROLL
    for (int r = 0; r < nr; r++)
        vf_store(out + r * ldo, b ? vf_add(acc[r], bias) : acc[r]);
}

#define ROWS_CASE(count)                                                            \
    case count:                                                                     \
        if ((count) <= max_nv)                                                      \
            rows_tile(nr, count, k, a + i, lda, w + i * fan_out + j, fan_out, last, \
                      first && i == 0, ends ? b + j : NULL, out + j, ldo);          \
        break;

/* nr rows, max_nv vectors of columns at a time. No tile but the first begins with a vector that is
 * moved back: it would go on from sums that its neighbour has finished. */
static ALWAYS_INLINE void rows_product(const int nr, const int max_nv, int64_t fan_out,
                                       int64_t fan_in, const real *a, int64_t lda, const real *w,
                                       int first, const real *b, real *out, int64_t ldo)
{
    if (fan_out < VF_LANES) {
        rows_narrow(nr, fan_out, fan_in, a, lda, w, first, b, out, ldo);
        return;
    }
    const int64_t block = fan_out <= max_nv * VF_LANES ? fan_in : ROWS_K;
    for (int64_t i = 0; i < fan_in; i += block) {
        const int64_t k = fbp_min(block, fan_in - i);
        const int ends = b && i + k == fan_in;
        int64_t nv = 0;
        for (int64_t j = 0; j < fan_out; j += nv * VF_LANES) {
            const int64_t left = fan_out - j;
            nv = fbp_min(max_nv, fbp_ceil_div(left, VF_LANES));
            nv -= left > nv * VF_LANES && left < (nv + 1) * VF_LANES;
            const int64_t last = fbp_min((nv - 1) * VF_LANES, left - VF_LANES);
            switch (nv) {
                ROWS_CASE(1)
                ROWS_CASE(2)
                ROWS_CASE(3)
                ROWS_CASE(4)
                ROWS_CASE(5)
                ROWS_CASE(6)
                ROWS_CASE(7)
                ROWS_CASE(8)
            }
        }
    }
}

/* Groups of MR rows, one of half as many, then the others one by one. */
static void KERNEL(rows)(int64_t rows, int64_t fan_out, int64_t k, const void *a_, int64_t lda,
                         const void *w, int first, const void *b, void *out_, int64_t ldo)
{
    enum { HALF = MR / 2 };
    const real *a = a_;
    real *out = out_;
    for (; rows >= MR; rows -= MR, a += MR * lda, out += MR * ldo)
        rows_product(MR, NV, fan_out, k, a, lda, w, first, b, out, ldo);
    for (; rows >= HALF; rows -= HALF, a += HALF * lda, out += HALF * ldo)
        rows_product(HALF, 2 * NV, fan_out, k, a, lda, w, first, b, out, ldo);
    for (; rows > 0; rows--, a += lda, out += ldo)
        rows_product(1, ROW_NV, fan_out, k, a, lda, w, first, b, out, ldo);
}

/* An output layer with one unit: lane j of 16 sums the k ≡ j mod 16, then the tree. */
static void KERNEL(rows_column)(int64_t rows, int64_t fan_in, const void *a_, int64_t lda,
                                const void *w_, const void *b, void *out_, int64_t ldo)
{
    const real *w = w_, bias = *(const real *)b;
    for (int64_t r = 0; r < rows; r++) {
        const real *a = (const real *)a_ + r * lda;
        vf lanes[SLOTS];
        for (int s = 0; s < SLOTS; s++)
            lanes[s] = vf_set1(0);
        for (int64_t i = 0; i < fan_in; i += VF_LANES) {
            vf *lane = &lanes[i / VF_LANES % SLOTS];
            *lane = vf_fma(load_tail(a + i, fan_in - i), load_tail(w + i, fan_in - i), *lane);
        }
        ((real *)out_)[r * ldo] = column_tree(lanes) + bias;
    }
}

/* Whether every |x| is below a bound: with infinity, whether all are finite. */
static int KERNEL(within)(int64_t n, const void *x_, double bound)
{
    enum { N_SUMS = 4 };
    const real *x = x_;
    const vf zero = vf_set1(0), one = vf_set1(1), limit = vf_set1((real)bound);
    vf beyond[N_SUMS];
    for (int v = 0; v < N_SUMS; v++)
        beyond[v] = zero;
    for (; n >= N_SUMS * VF_LANES; n -= N_SUMS * VF_LANES, x += N_SUMS * VF_LANES) {
        UNROLL
        for (int v = 0; v < N_SUMS; v++) {
            const vm below = vf_lt(vf_abs(vf_load(x + v * VF_LANES)), limit);
            beyond[v] = vf_or(beyond[v], vf_select(below, zero, one));
        }
    }
    for (; n > 0; n -= VF_LANES, x += VF_LANES)
        beyond[0] = vf_or(beyond[0], vf_select(vf_lt(vf_abs(load_tail(x, n)), limit), zero, one));
    real found[VF_LANES];
    vf_store(found, vf_or(vf_or(beyond[0], beyond[1]), vf_or(beyond[2], beyond[3])));
    int any = 0;
    for (int j = 0; j < VF_LANES; j++)
        any |= found[j] > 0;
    return !any;
}
