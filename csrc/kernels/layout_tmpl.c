/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In and out of the core's layouts: the user's rows into panels (gather), panels into the user's rows
 * (scatter), coefs_ into packed W and Wᵀ and back. The type of the user's data changes on the way.
 */

/* Row r of the batch is row order[r] of x, or first + r. */
static inline int64_t source_row(const int64_t *order, int64_t first, int64_t r)
{
    return order ? order[r] : first + r;
}

#define GATHER_AHEAD 4          /* rows */
#define GATHER_AHEAD_BYTES 1024 /* of a row: shorter ones are mostly at hand */

/* n reals of one panel; trips of a known length are what compilers make vectors of. */
#define DEFINE_CONVERT(type, suffix)                                           \
    static inline void convert_##suffix(const type *from, int64_t n, real *to) \
    {                                                                          \
        int64_t j = 0;                                                         \
        if (n == NR) {                                                         \
            for (; j < NR; j++)                                                \
                to[j] = (real)from[j];                                         \
            return;                                                            \
        }                                                                      \
        for (; j + 4 <= n; j += 4)                                             \
            for (int i = 0; i < 4; i++)                                        \
                to[j + i] = (real)from[j + i];                                 \
        for (; j < n; j++)                                                     \
            to[j] = (real)from[j];                                             \
    }                                                                          \
    static inline void prefetch_row_##suffix(const type *row, int64_t n)       \
    {                                                                          \
        const int64_t line = FBP_CACHE_LINE / (int64_t)sizeof(type);           \
        for (int64_t j = 0; j < n; j += line)                                  \
            PREFETCH_L2(row + j);                                              \
    }
DEFINE_CONVERT(float, f32)
DEFINE_CONVERT(double, f64)

/* Rows of a shuffled batch lie anywhere: those that come next are prefetched. */
#define DEFINE_GATHER_DENSE(type, suffix)                                                  \
    static void KERNEL(gather_dense_##suffix)(const fbp_matrix *x, const int64_t *order,   \
                                              int64_t first, int64_t rows, void *out_,     \
                                              int64_t out_stride)                          \
    {                                                                                      \
        const type *data = x->data;                                                        \
        const int ahead = order && x->n_cols * (int64_t)sizeof(type) > GATHER_AHEAD_BYTES; \
        for (int64_t r = 0; r < rows; r++) {                                               \
            const type *row = data + source_row(order, first, r) * x->ld;                  \
            real *out = (real *)out_ + r * NR;                                             \
            if (ahead && r + GATHER_AHEAD < rows)                                          \
                prefetch_row_##suffix(data + order[r + GATHER_AHEAD] * x->ld, x->n_cols);  \
            for (int64_t c = 0; c < x->n_cols; c += NR, out += out_stride)                 \
                convert_##suffix(row + c, fbp_min(NR, x->n_cols - c), out);                \
        }                                                                                  \
    }
DEFINE_GATHER_DENSE(float, f32)
DEFINE_GATHER_DENSE(double, f64)

static inline int64_t index_at(const void *indices, int bits, int64_t i)
{
    return bits == 32 ? ((const int32_t *)indices)[i] : ((const int64_t *)indices)[i];
}

/* A stored value's column. The caller's indices were checked, but are its own: should another thread of
 * it change one meanwhile, the result is wrong, and memory stays whole. */
static inline int64_t column_at(const void *indices, int bits, int64_t i, int64_t n_cols)
{
    const uint64_t column = (uint64_t)index_at(indices, bits, i);
    return (int64_t)(column < (uint64_t)n_cols ? column : 0);
}

/* CSR: zeros, then the row's values added in storage order, so that duplicates sum. */
#define DEFINE_GATHER_CSR(type, suffix)                                                \
    static void KERNEL(gather_csr_##suffix)(const fbp_matrix *x, const int64_t *order, \
                                            int64_t first, int64_t rows, void *out_,   \
                                            int64_t out_stride)                        \
    {                                                                                  \
        for (int64_t r = 0; r < rows; r++) {                                           \
            const int64_t row = source_row(order, first, r);                           \
            real *out = (real *)out_ + r * NR;                                         \
            for (int64_t c = 0; c < x->n_cols; c += NR)                                \
                memset(out + c / NR * out_stride, 0, NR * sizeof(real));               \
            const int64_t end = index_at(x->indptr, x->index_bits, row + 1);           \
            for (int64_t i = index_at(x->indptr, x->index_bits, row); i < end; i++) {  \
                const int64_t c = column_at(x->indices, x->index_bits, i, x->n_cols);  \
                out[c / NR * out_stride + c % NR] += (real)((const type *)x->data)[i]; \
            }                                                                          \
        }                                                                              \
    }
DEFINE_GATHER_CSR(float, f32)
DEFINE_GATHER_CSR(double, f64)

#define DEFINE_SCATTER(type, suffix)                                                              \
    static void KERNEL(scatter_##suffix)(int64_t rows, int64_t n, const void *z_, int64_t stride, \
                                         void *out_)                                              \
    {                                                                                             \
        const int64_t step = n == 1 ? 1 : NR;                                                     \
        for (int64_t r = 0; r < rows; r++) {                                                      \
            const real *z = (const real *)z_ + r * step;                                          \
            type *out = (type *)out_ + r * n;                                                     \
            for (int64_t c = 0; c < n; c++)                                                       \
                out[c] = (type)z[c / NR * stride + c % NR];                                       \
        }                                                                                         \
    }
DEFINE_SCATTER(float, f32)
DEFINE_SCATTER(double, f64)

#define MOVED_ROWS 8 /* of a row-major matrix at a time: each row is a page or more of its own */

/* Rows of one panel of W, to or from rows of coef; the padding of W is left alone. */
static inline void copy_rows(int64_t rows, int64_t columns, real *to, int64_t to_row,
                             const real *from, int64_t from_row)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * to_row, from + r * from_row, sizeof(real) * (size_t)columns);
}

/* Rows i … of coef into one panel of Wᵀ: squares, so that lines of both are used while they are in L1. */
static inline void transpose_rows(int64_t rows, int64_t fan_out, const real *coef, real *wt,
                                  int64_t width)
{
    for (int64_t j0 = 0; j0 < fan_out; j0 += VF_LANES) {
        const int64_t columns = fbp_min(VF_LANES, fan_out - j0);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = j0; j < j0 + columns; j++)
                wt[j * width + r] = coef[r * fan_out + j];
    }
}

/* Rows begin … end − 1 of coef [fan_in × fan_out], row-major, into W, and Wᵀ where there is one, of which
 * begin starts a panel; padding is left alone. */
static void KERNEL(pack)(int64_t fan_in, int64_t fan_out, int64_t begin, int64_t end,
                         const void *coef_, void *w_, void *wt_)
{
    const real *coef = coef_;
    real *w = w_, *wt = wt_;
    for (int64_t i = begin; i < end; i += MOVED_ROWS)
        for (int64_t j = 0; j < fan_out; j += NR) {
            const int64_t width = fbp_panel_width(fan_out, j / NR, VF_LANES, NR);
            copy_rows(fbp_min(MOVED_ROWS, end - i), fbp_min(width, fan_out - j),
                      w + j * fan_in + i * width, width, coef + i * fan_out + j, fan_out);
        }
    for (int64_t i = begin; wt && i < end; i += NR) {
        const int64_t width = fbp_panel_width(fan_in, i / NR, VF_LANES, NR);
        transpose_rows(fbp_min(width, end - i), fan_out, coef + i * fan_out, wt + i * fan_out,
                       width);
    }
}

/* Rows begin … end − 1 of W back into coef [fan_in × fan_out], row-major. */
static void KERNEL(unpack)(int64_t fan_in, int64_t fan_out, int64_t begin, int64_t end,
                           const void *w_, void *coef_)
{
    const real *w = w_;
    real *coef = coef_;
    for (int64_t i = begin; i < end; i += MOVED_ROWS)
        for (int64_t j = 0; j < fan_out; j += NR) {
            const int64_t width = fbp_panel_width(fan_out, j / NR, VF_LANES, NR);
            copy_rows(fbp_min(MOVED_ROWS, end - i), fbp_min(width, fan_out - j),
                      coef + i * fan_out + j, fan_out, w + j * fan_in + i * width, width);
        }
}
