/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In and out of the core's layouts: pack and unpack, gather from dense and CSR rows, scatter. Every
 * value has one right place; what is not a place stays untouched.
 */
#include "kernels.h"

#define ROWS 23

static void test_pack(const family *f, int real, int64_t fan_in, int64_t fan_out)
{
    const fbp_kernels *k = f->table;
    const int64_t n = fan_in * fan_out;
    double *coef = matrix_random(real, n, REALS);
    packed p = packed_new(k, real, fan_in, fan_out, coef);
    int64_t wrong = 0, written = 0;
    for (int64_t i = 0; i < fan_in; i++)
        for (int64_t j = 0; j < fan_out; j++) {
            const double value = coef[i * fan_out + j];
            wrong += get(&p.w, packed_at(k, fan_in, fan_out, i, j)) != value;
            wrong += get(&p.wt, packed_at(k, fan_out, fan_in, j, i)) != value;
        }
    for (int64_t i = 0; i < p.w.n; i++)
        written += !isnan(get(&p.w, i));
    for (int64_t i = 0; i < p.wt.n; i++)
        written += !isnan(get(&p.wt, i));
    CHECK(wrong == 0, "pack %s %s %lld x %lld: %lld wrong", fbp_isa_name(f->isa), real_name(real),
          (long long)fan_in, (long long)fan_out, (long long)wrong);
    CHECK(written == 2 * n, "pack %s: the padding was written", fbp_isa_name(f->isa));

    buffer out = buffer_new(real, n);
    k->unpack(fan_in, fan_out, 0, fan_in, p.w.data, out.data);
    wrong = 0;
    for (int64_t i = 0; i < n; i++)
        wrong += get(&out, i) != coef[i];
    CHECK(wrong == 0, "unpack %s %s %lld x %lld: %lld wrong", fbp_isa_name(f->isa), real_name(real),
          (long long)fan_in, (long long)fan_out, (long long)wrong);
    buffer_free(&out);
    packed_free(&p);
    free(coef);
}

/* What was gathered: row r is row order[r] of the plain x, or first + r. */
static void check_gathered(const char *what, const panels *p, const double *x, const int64_t *order,
                           int64_t first, int64_t rows)
{
    int64_t wrong = 0, touched = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            const int64_t from = order ? order[r] : first + r;
            wrong += get(&p->b, panels_at(p, r, c)) != rounded(p->b.real, x[from * p->cols + c]);
        }
    for (int64_t r = rows; r < p->rows; r++)
        for (int64_t c = 0; c < p->cols; c++)
            touched += !isnan(get(&p->b, panels_at(p, r, c)));
    CHECK(wrong == 0, "%s, %lld columns: %lld wrong", what, (long long)p->cols, (long long)wrong);
    CHECK(touched == 0, "%s: rows beyond the last were written", what);
}

/* A dense matrix whose rows lie ld apart, NaNs between them. */
static void test_gather_dense(const family *f, int real, int x_real, int64_t n_cols, int64_t gap)
{
    static const int64_t order[] = {3, 22, 0, 3, 7};
    const fbp_kernels *k = f->table;
    const int64_t ld = n_cols + gap;
    double *x = matrix_random(x_real, ROWS * n_cols, REALS);
    buffer data = buffer_new(x_real, (ROWS - 1) * ld + n_cols);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < n_cols; c++)
            put(&data, r * ld + c, x[r * n_cols + c]);
    const fbp_matrix m = {
        .n_rows = ROWS, .n_cols = n_cols, .real = x_real, .data = data.data, .ld = ld};
    for (int ordered = 0; ordered < 2; ordered++) {
        panels out = panels_new(k, real, 20, n_cols);
        const int64_t rows = ordered ? 5 : 19, first = ordered ? 0 : ROWS - 19;
        k->gather_dense[x_real](&m, ordered ? order : NULL, first, rows, out.b.data, out.stride);
        check_gathered("gather dense", &out, x, ordered ? order : NULL, first, rows);
        buffer_free(&out.b);
    }
    buffer_free(&data);
    free(x);
}

/* About a third of the values, each in two halves, in storage order from the last column on. */
static int64_t sparsify(double *x, int64_t n_cols, buffer *data, int64_t *columns, int64_t *starts)
{
    int64_t n = 0;
    for (int64_t r = 0; r < ROWS; r++) {
        starts[r] = n;
        for (int64_t c = n_cols; c-- > 0;) {
            if (random_below(3) != 0) x[r * n_cols + c] = 0;
            for (int half = 0; half < 2 && x[r * n_cols + c] != 0; half++) {
                put(data, n, x[r * n_cols + c] / 2);
                columns[n++] = c;
            }
        }
    }
    starts[ROWS] = n;
    return n;
}

static void test_gather_csr(const family *f, int real, int x_real, int64_t n_cols, int bits)
{
    static const int64_t order[] = {3, 22, 0, 3, 7};
    const fbp_kernels *k = f->table;
    double *x = matrix_random(x_real, ROWS * n_cols, REALS);
    buffer data = buffer_new(x_real, 2 * ROWS * n_cols);
    int64_t *columns = malloc(sizeof(int64_t) * (size_t)(2 * ROWS * n_cols)), starts[ROWS + 1];
    const int64_t n = sparsify(x, n_cols, &data, columns, starts);
    buffer indices = buffer_of_bytes((size_t)(n * bits / 8)),
           indptr = buffer_of_bytes((ROWS + 1) * (size_t)bits / 8);
    for (int64_t i = 0; i < n; i++)
        bits == 32 ? (void)(((int32_t *)indices.data)[i] = (int32_t)columns[i])
                   : (void)(((int64_t *)indices.data)[i] = columns[i]);
    for (int64_t r = 0; r <= ROWS; r++)
        bits == 32 ? (void)(((int32_t *)indptr.data)[r] = (int32_t)starts[r])
                   : (void)(((int64_t *)indptr.data)[r] = starts[r]);
    const fbp_matrix m = {.n_rows = ROWS,
                          .n_cols = n_cols,
                          .real = x_real,
                          .index_bits = bits,
                          .data = data.data,
                          .indices = indices.data,
                          .indptr = indptr.data};
    for (int ordered = 0; ordered < 2; ordered++) {
        panels out = panels_new(k, real, 20, n_cols);
        const int64_t rows = ordered ? 5 : 19, first = ordered ? 0 : ROWS - 19;
        k->gather_csr[x_real](&m, ordered ? order : NULL, first, rows, out.b.data, out.stride);
        check_gathered("gather CSR", &out, x, ordered ? order : NULL, first, rows);
        buffer_free(&out.b);
    }
    buffer_free(&data), buffer_free(&indices), buffer_free(&indptr);
    free(x), free(columns);
}

static void test_scatter(const family *f, int real, int out_real, int64_t n)
{
    const fbp_kernels *k = f->table;
    double *z = matrix_random(real, ROWS * n, REALS);
    buffer column = buffer_new(real, ROWS), out = buffer_new(out_real, ROWS * n);
    panels p = panels_new(k, real, ROWS, n);
    panels_fill(&p, z, ROWS, NAN);
    for (int64_t r = 0; r < ROWS; r++)
        put(&column, r, z[r * n]);
    k->scatter[out_real](ROWS, n, n == 1 ? column.data : p.b.data, p.stride, out.data);
    int64_t wrong = 0;
    for (int64_t i = 0; i < ROWS * n; i++)
        wrong += get(&out, i) != rounded(out_real, z[i]);
    CHECK(wrong == 0, "scatter %s %s, %lld columns: %lld wrong", fbp_isa_name(f->isa),
          real_name(real), (long long)n, (long long)wrong);
    buffer_free(&column), buffer_free(&p.b), buffer_free(&out);
    free(z);
}

/* Indices that another thread has changed since they were checked: a wrong result, in its own place. */
static void test_changed_indices(const family *f, int real, int bits)
{
    static const int64_t wide[] = {-1, 7, INT64_MIN, INT64_MAX, 2};
    static const int32_t narrow[] = {-1, 7, INT32_MIN, INT32_MAX, 2};
    static const int64_t starts[] = {0, 5};
    static const int32_t narrow_starts[] = {0, 5};
    static const double halves[] = {0.5, 0.5, 0.5, 0.5, 3};
    static const float narrow_halves[] = {0.5, 0.5, 0.5, 0.5, 3};
    const fbp_kernels *k = f->table;
    const fbp_matrix m = {
        .n_rows = 1,
        .n_cols = 7,
        .real = real,
        .index_bits = bits,
        .data = real == FBP_F32 ? (const void *)narrow_halves : halves,
        .indices = bits == 32 ? (const void *)narrow : wide,
        .indptr = bits == 32 ? (const void *)narrow_starts : starts,
    };
    panels out = panels_new(k, real, 1, 7);
    k->gather_csr[real](&m, NULL, 0, 1, out.b.data, out.stride);
    for (int64_t c = 0; c < 7; c++)
        CHECK(get(&out.b, panels_at(&out, 0, c)) == (c == 0   ? 2
                                                     : c == 2 ? 3
                                                              : 0),
              "%s %s, %d bits: column %d", fbp_isa_name(f->isa), real_name(real), bits, (int)c);
    buffer_free(&out.b);
}

int main(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int f = 0; f < n_families; f++) {
            const family *own = &families[f];
            const int64_t lanes = own->table->lanes, nr = own->table->nr;
            const int64_t sizes[] = {1, lanes, lanes + 1, nr - 1, nr, nr + 1, 3 * nr + lanes + 1};
            const int n_sizes = sizeof sizes / sizeof *sizes;
            test_changed_indices(own, real, 32);
            test_changed_indices(own, real, 64);
            for (int other = FBP_F32; other <= FBP_F64; other++)
                test_gather_dense(own, real, other, 300,
                                  5); /* rows so long that the next ones are prefetched */
            for (int i = 0; i < n_sizes; i++) {
                for (int j = 0; j < n_sizes; j++)
                    test_pack(own, real, sizes[i], sizes[j]);
                for (int other = FBP_F32; other <= FBP_F64; other++) {
                    test_gather_dense(own, real, other, sizes[i], 0);
                    test_gather_dense(own, real, other, sizes[i], 5);
                    test_gather_csr(own, real, other, sizes[i], 32);
                    test_gather_csr(own, real, other, sizes[i], 64);
                    test_scatter(own, real, other, sizes[i]);
                }
            }
        }
    }
    return check_done("layouts");
}
