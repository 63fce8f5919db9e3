/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The user's CSR rows as the sparse products want them: in the compute type, each row's columns
 * increasing, duplicates summed in storage order, as gather_csr does; and the same rows cut in strips.
 *
 * A row that is in order already, which is the rule, is copied. Another passes through a dense row of
 * sums and one bit per column: linear in its values and 1/64 of the columns, stable, and nothing to
 * allocate. Sorting pairs of column and value would need room for a copy.
 */

/* n column numbers into out; whether they increase. */
static ALWAYS_INLINE int copy_columns(const int bits, const void *indices, int64_t n,
                                      int64_t n_cols, uint32_t *out)
{
    int falls = 0;
    for (int64_t i = 0; i < n; i++)
        out[i] = (uint32_t)column_at(indices, bits, i, n_cols);
    for (int64_t i = 1; i < n; i++)
        falls |= out[i] <= out[i - 1];
    return !falls;
}

static inline int lowest_bit(uint64_t word)
{
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(word);
#else
    int bit = 0;
    for (; !(word & 1); word >>= 1)
        bit++;
    return bit;
#endif
}

/* What the marked columns sum to, by increasing column; sums and marks are zeros again. The number. */
static inline int64_t take_marked(int64_t n_cols, real *sums, uint64_t *marks, uint32_t *columns,
                                  real *values)
{
    int64_t n = 0;
    for (int64_t word = 0; word < fbp_ceil_div(n_cols, 64); word++)
        for (; marks[word]; marks[word] &= marks[word] - 1) {
            const int64_t c = word * 64 + lowest_bit(marks[word]);
            columns[n] = (uint32_t)c;
            values[n++] = sums[c];
            sums[c] = 0;
        }
    return n;
}

/* sums [n_cols] and marks [⌈n_cols / 64⌉] are zeros before and after. */
#define DEFINE_COMPACT(type, suffix)                                                               \
    static ALWAYS_INLINE int64_t compact_row_##suffix(const int bits, const fbp_matrix *x,         \
                                                      int64_t row, uint32_t *columns,              \
                                                      real *values, real *sums, uint64_t *marks)   \
    {                                                                                              \
        const int64_t from = index_at(x->indptr, bits, row);                                       \
        const int64_t n = index_at(x->indptr, bits, row + 1) - from;                               \
        const type *data = (const type *)x->data + from;                                           \
        const char *indices = (const char *)x->indices + from * (bits / 8);                        \
        const int in_order = copy_columns(bits, indices, n, x->n_cols, columns);                   \
        if (!in_order)                                                                             \
            for (int64_t i = 0; i < n; i++) {                                                      \
                sums[columns[i]] += (real)data[i];                                                 \
                marks[columns[i] / 64] |= UINT64_C(1) << columns[i] % 64;                          \
            }                                                                                      \
        for (int64_t i = 0; in_order && i < n; i++)                                                \
            values[i] = (real)data[i];                                                             \
        return in_order ? n : take_marked(x->n_cols, sums, marks, columns, values);                \
    }                                                                                              \
    static void KERNEL(compact_##suffix)(const fbp_matrix *x, const int64_t *order, int64_t first, \
                                         int64_t rows, const fbp_csr *out, void *sums,             \
                                         uint64_t *marks)                                          \
    {                                                                                              \
        for (int64_t r = 0; r < rows; r++) {                                                       \
            const int64_t row = source_row(order, first, r), at = out->begin[r];                   \
            uint32_t *columns = out->columns + at;                                                 \
            real *values = (real *)out->values + at;                                               \
            out->end[r] =                                                                          \
                at + (x->index_bits == 32                                                          \
                          ? compact_row_##suffix(32, x, row, columns, values, sums, marks)         \
                          : compact_row_##suffix(64, x, row, columns, values, sums, marks));       \
        }                                                                                          \
    }
DEFINE_COMPACT(float, f32)
DEFINE_COMPACT(double, f64)

/* The first stored value of a row at column c or beyond. */
static inline int64_t lower_bound(const fbp_csr *x, int64_t row, int64_t c)
{
    int64_t low = x->begin[row], high = x->end[row];
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (x->columns[middle] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Strips s0 … s1 − 1 of rows by rows. What lies before strip s0 is counted, so that threads which
 * take a range of strips each need nothing from one another. */
static void KERNEL(cut)(int64_t rows, const fbp_csr *x, int64_t s0, int64_t s1,
                        const fbp_strips *out)
{
    const int64_t c0 = s0 * FBP_STRIP_ROWS, c1 = s1 * FBP_STRIP_ROWS;
    const uint32_t *columns = x->columns;
    const real *values = x->values;
    real *out_values = out->values;
    int64_t at = 0;
    memset(out->end + s0, 0, sizeof(int64_t) * (size_t)(s1 - s0));
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = lower_bound(x, r, c0);
        at += i - x->begin[r];
        for (; i < x->end[r] && columns[i] < c1; i++)
            out->end[columns[i] / FBP_STRIP_ROWS]++;
    }
    for (int64_t s = s0; s < s1; s++) { /* from counts to beginnings */
        const int64_t count = out->end[s];
        out->end[s] = at;
        at += count;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = lower_bound(x, r, c0); i < x->end[r] && columns[i] < c1; i++) {
            const int64_t to = out->end[columns[i] / FBP_STRIP_ROWS]++; /* and to ends */
            out->places[to] = (uint32_t)(r * FBP_STRIP_ROWS + columns[i] % FBP_STRIP_ROWS);
            out_values[to] = values[i];
        }
}
