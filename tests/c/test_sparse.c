/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sparse X: its kernels, in every family and in guarded buffers. Rows put in order and cut in strips
 * must hold just what was stored; the products must have the bits of the dense ones, whose oracles
 * are elsewhere.
 *
 * Rests on: pack (test_layouts), the dense products (test_products, test_updates).
 */
#include "kernels.h"

#define ROWS 40

static char name[200];

/* Plain [ROWS × n_cols], and as a user's CSR: unsorted, each value in two halves, or in order. */
typedef struct {
    int64_t n_cols;
    double *x;
    buffer data, indices, indptr;
    fbp_matrix m;
} user_rows;

static void put_index(buffer *b, int bits, int64_t i, int64_t value)
{
    if (bits == 32)
        ((int32_t *)b->data)[i] = (int32_t)value;
    else
        ((int64_t *)b->data)[i] = value;
}

/* Row 3 is full, row 4 empty, and so are columns ≡ 5 mod 7; elsewhere one value in four is kept. */
static user_rows user_rows_new(int real, int bits, int messy, int64_t n_cols)
{
    user_rows u = {.n_cols = n_cols, .x = matrix_random(real, ROWS * n_cols, REALS)};
    int64_t n = 0, at = 0;
    for (int64_t i = 0; i < ROWS * n_cols; i++) {
        const int64_t row = i / n_cols;
        if (row == 4 || (row != 3 && (i % n_cols % 7 == 5 || random_below(4) != 0))) u.x[i] = 0;
        n += u.x[i] != 0;
    }
    n *= messy ? 2 : 1;
    u.data = buffer_new(real, n);
    u.indices = buffer_of_bytes((size_t)(n * bits / 8));
    u.indptr = buffer_of_bytes((ROWS + 1) * (size_t)bits / 8);
    for (int64_t r = 0; r < ROWS; r++) {
        put_index(&u.indptr, bits, r, at);
        for (int64_t i = 0; i < n_cols; i++) {
            const int64_t c = messy ? n_cols - 1 - i : i;
            for (int half = 0; half < (messy ? 2 : 1) && u.x[r * n_cols + c] != 0; half++) {
                put(&u.data, at, u.x[r * n_cols + c] / (messy ? 2 : 1));
                put_index(&u.indices, bits, at++, c);
            }
        }
    }
    put_index(&u.indptr, bits, ROWS, at);
    u.m = (fbp_matrix){.n_rows = ROWS,
                       .n_cols = n_cols,
                       .real = real,
                       .index_bits = bits,
                       .data = u.data.data,
                       .indices = u.indices.data,
                       .indptr = u.indptr.data};
    return u;
}

static void user_rows_free(user_rows *u)
{
    free(u->x);
    buffer_free(&u->data), buffer_free(&u->indices), buffer_free(&u->indptr);
}

static int64_t stored(const user_rows *u, int64_t row)
{
    const int32_t *narrow = u->m.indptr;
    const int64_t *wide = u->m.indptr;
    return u->m.index_bits == 32 ? narrow[row + 1] - narrow[row] : wide[row + 1] - wide[row];
}

/* Rows of the core, each with just the room that the user's row takes. */
typedef struct {
    buffer begin, end, columns, values;
    fbp_csr csr;
} rows_of;

static rows_of rows_of_new(const user_rows *u, int real, const int64_t *order, int64_t first,
                           int64_t rows, int64_t padded)
{
    rows_of r = {.begin = buffer_of_bytes((size_t)padded * 8),
                 .end = buffer_of_bytes((size_t)padded * 8)};
    int64_t n = 0;
    for (int64_t i = 0; i < padded; i++) {
        ((int64_t *)r.begin.data)[i] = ((int64_t *)r.end.data)[i] = n;
        n += i < rows ? stored(u, order ? order[i] : first + i) : 0;
    }
    r.columns = buffer_of_bytes((size_t)n * 4);
    r.values = buffer_new(real, n);
    r.csr = (fbp_csr){r.begin.data, r.end.data, r.columns.data, r.values.data};
    return r;
}

static void rows_of_free(rows_of *r)
{
    buffer_free(&r->begin), buffer_free(&r->end), buffer_free(&r->columns), buffer_free(&r->values);
}

/* The user's rows in order; sums and marks must be zeros afterwards. */
static rows_of compact(const fbp_kernels *k, int real, const user_rows *u, const int64_t *order,
                       int64_t first, int64_t rows)
{
    const int64_t n_words = fbp_ceil_div(u->n_cols, 64);
    rows_of r = rows_of_new(u, real, order, first, rows, fbp_round_up(rows, k->mr));
    buffer sums = buffer_new(real, u->n_cols), marks = buffer_of_bytes((size_t)n_words * 8);
    memset(sums.data, 0, (size_t)u->n_cols * real_bytes(real));
    memset(marks.data, 0, (size_t)n_words * 8);
    k->compact[u->m.real](&u->m, order, first, rows, &r.csr, sums.data, marks.data);
    int64_t left = 0;
    for (int64_t i = 0; i < u->n_cols; i++)
        left += get(&sums, i) != 0;
    for (int64_t i = 0; i < n_words; i++)
        left += ((uint64_t *)marks.data)[i] != 0;
    CHECK(left == 0, "%s: %lld sums or marks left", name, (long long)left);
    buffer_free(&sums), buffer_free(&marks);
    return r;
}

static void check_rows(const rows_of *r, int real, const user_rows *u, const int64_t *order,
                       int64_t first, int64_t rows)
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < rows; i++) {
        const double *x = u->x + (order ? order[i] : first + i) * u->n_cols;
        int64_t at = r->csr.begin[i];
        for (int64_t c = 0; c < u->n_cols; c++) {
            if (x[c] == 0) continue;
            wrong += at >= r->csr.end[i] || r->csr.columns[at] != c ||
                     get(&r->values, at) != rounded(real, x[c]);
            at++;
        }
        wrong += at != r->csr.end[i];
    }
    CHECK(wrong == 0, "%s: %lld wrong", name, (long long)wrong);
}

static void test_compact(const family *f, int real, int64_t n_cols)
{
    static const int64_t order[] = {3, 22, 0, 3, 4, 39};
    for (int kind = 0; kind < 8; kind++) {
        const int x_real = kind % 2 ? FBP_F32 : FBP_F64, bits = kind & 2 ? 32 : 64;
        user_rows u = user_rows_new(x_real, bits, kind >= 4, n_cols);
        for (int ordered = 0; ordered < 2; ordered++) {
            const int64_t rows = ordered ? 6 : 33, first = ordered ? 0 : ROWS - 33;
            snprintf(name, sizeof name, "compact %s %s from %s, %d bits, kind %d, %lld columns",
                     fbp_isa_name(f->isa), real_name(real), real_name(x_real), bits, kind,
                     (long long)n_cols);
            rows_of r = compact(f->table, real, &u, ordered ? order : NULL, first, rows);
            check_rows(&r, real, &u, ordered ? order : NULL, first, rows);
            rows_of_free(&r);
        }
        user_rows_free(&u);
    }
}

/* Strips of rows, as fbp_strips, cut by so many threads. */
typedef struct {
    buffer end, places, values;
    fbp_strips strips;
} strips_of;

static strips_of cut(const fbp_kernels *k, int real, int64_t rows, const rows_of *r, int64_t n_cols,
                     int n_threads)
{
    const int64_t n_strips = fbp_ceil_div(n_cols, FBP_STRIP_ROWS);
    int64_t n = 0;
    for (int64_t i = 0; i < rows; i++)
        n += r->csr.end[i] - r->csr.begin[i];
    strips_of s = {buffer_of_bytes((size_t)n_strips * 8), buffer_of_bytes((size_t)n * 4),
                   buffer_new(real, n), .strips = {0}};
    s.strips = (fbp_strips){s.end.data, s.places.data, s.values.data};
    for (int t = n_threads; t-- > 0;) /* whatever the order in which they come */
        k->cut(rows, &r->csr, n_strips * t / n_threads, n_strips * (t + 1) / n_threads, &s.strips);
    return s;
}

static void strips_of_free(strips_of *s)
{
    buffer_free(&s->end), buffer_free(&s->places), buffer_free(&s->values);
}

static void test_cut(const family *f, int real, int64_t n_cols)
{
    user_rows u = user_rows_new(real, 32, 1, n_cols);
    rows_of r = compact(f->table, real, &u, NULL, 0, ROWS);
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        strips_of s = cut(f->table, real, ROWS, &r, n_cols, n_threads);
        int64_t wrong = 0, at = 0;
        for (int64_t c0 = 0; c0 < n_cols; c0 += FBP_STRIP_ROWS) {
            for (int64_t row = 0; row < ROWS; row++)
                for (int64_t c = c0; c < fbp_min(n_cols, c0 + FBP_STRIP_ROWS); c++) {
                    const double x = u.x[row * n_cols + c];
                    if (x == 0) continue;
                    wrong += s.strips.places[at] != row * FBP_STRIP_ROWS + c - c0 ||
                             get(&s.values, at) != x;
                    at++;
                }
            wrong += s.strips.end[c0 / FBP_STRIP_ROWS] != at;
        }
        CHECK(wrong == 0, "cut %s %s, %lld columns, %d threads: %lld wrong", fbp_isa_name(f->isa),
              real_name(real), (long long)n_cols, n_threads, (long long)wrong);
        strips_of_free(&s);
    }
    rows_of_free(&r);
    user_rows_free(&u);
}

/* The forward product of sparse and of dense rows, with the same parameters. */
static void test_forward(const family *f, int real, int64_t n_cols, int64_t n, int activation,
                         int column)
{
    const fbp_kernels *k = f->table;
    const int64_t rows = ROWS - 1, padded = fbp_round_up(rows, k->mr), size = rows * n;
    user_rows u = user_rows_new(real, 64, 1, n_cols);
    double *w = matrix_random(real, n_cols * n, REALS), *b = matrix_random(real, n, REALS);
    double *dense = matrix_new(size), *sparse = matrix_new(size);
    snprintf(name, sizeof name, "forward %s %s %s %lld → %lld%s", fbp_isa_name(f->isa),
             real_name(real), fbp_activation_name(activation), (long long)n_cols, (long long)n,
             column ? " column" : "");
    rows_of x = compact(k, real, &u, NULL, 0, rows);
    panels in = panels_new(k, real, padded, n_cols), out = panels_new(k, real, padded, n);
    panels_fill(&in, u.x, rows, NAN);
    buffer bias = vector_new(k, real, b, n, NAN);
    if (column) {
        buffer weights = vector_new(k, real, w, n_cols, 0), z = buffer_new(real, padded);
        k->forward_column(padded, 1, n_cols, in.b.data, in.stride, weights.data, bias.data, z.data,
                          0);
        for (int64_t r = 0; r < rows; r++)
            dense[r] = get(&z, r);
        k->forward_sparse_column(padded, 1, n_cols, &x.csr, weights.data, bias.data, z.data, 0);
        for (int64_t r = 0; r < rows; r++)
            sparse[r] = get(&z, r);
        buffer_free(&weights), buffer_free(&z);
    } else {
        packed weights = packed_new(k, real, n_cols, n, w);
        k->forward[activation](padded, n, n_cols, in.b.data, in.stride, weights.w.data, bias.data,
                               out.b.data, out.stride);
        panels_read(&out, rows, dense);
        memset(out.b.data, POISON_BYTE, (size_t)out.b.n * real_bytes(real));
        k->forward_sparse[activation](padded, n, n_cols, &x.csr, weights.w.data, bias.data,
                                      out.b.data, out.stride);
        panels_read(&out, rows, sparse);
        packed_free(&weights);
    }
    check_same(name, size, sparse, dense);
    buffer_free(&in.b), buffer_free(&out.b), buffer_free(&bias);
    rows_of_free(&x);
    user_rows_free(&u);
    free(w), free(b), free(dense), free(sparse);
}

/* What an update reads and writes, in guarded buffers, at random. */
enum { W, GW, M0, M1, B, GB, MB0, MB1, SQUARES, N_ARRAYS };

typedef struct {
    buffer arrays[N_ARRAYS];
    fbp_strip strip;
} layer_state;

static layer_state layer_state_new(const fbp_kernels *k, int real, int64_t fan_in, int64_t fan_out,
                                   int column)
{
    const int64_t n_strips = fbp_ceil_div(fan_in, FBP_STRIP_ROWS);
    const int64_t n_out = fbp_round_up(fan_out, k->lanes);
    const int64_t n_w = column ? fbp_round_up(fan_in, k->lanes) : fan_in * n_out;
    layer_state s = {.strip = {.fan_in = fan_in, .fan_out = fan_out}};
    for (int i = 0; i < N_ARRAYS; i++) {
        s.arrays[i] = buffer_new(real, i < B         ? n_w
                                       : i < SQUARES ? n_out
                                                     : n_strips * (column ? 1 : n_out));
        for (int64_t j = 0; j < s.arrays[i].n; j++)
            put(&s.arrays[i], j,
                i == SQUARES || (column && j >= fan_in) ? 0 : random_between(0, 1));
    }
    s.strip.w = s.arrays[W].data, s.strip.b = s.arrays[B].data;
    s.strip.gw = s.arrays[GW].data, s.strip.gb = s.arrays[GB].data;
    s.strip.mw[0] = s.arrays[M0].data, s.strip.mw[1] = s.arrays[M1].data;
    s.strip.mb[0] = s.arrays[MB0].data, s.strip.mb[1] = s.arrays[MB1].data;
    s.strip.squares = s.arrays[SQUARES].data;
    return s;
}

static void run_strips(const fbp_kernels *k, int solver, int column, int sparse, fbp_strip s,
                       const fbp_update *u)
{
    if (column) {
        s.i1 = s.fan_in;
        (sparse ? k->update_sparse_column : k->update_column)[solver](&s, u);
        return;
    }
    for (s.panel = 0; s.panel * k->nr < s.fan_out; s.panel++)
        for (s.i0 = 0; s.i0 < s.fan_in; s.i0 += FBP_STRIP_ROWS) {
            s.i1 = fbp_min(s.fan_in, s.i0 + FBP_STRIP_ROWS);
            (sparse ? k->update_sparse : k->update)[solver](&s, u);
        }
}

/* Update `twins`, alike at first, from the same rows: one by dense, one by sparse kernels. */
static void update_both(const family *f, int real, int solver, int column, const user_rows *u,
                        layer_state twins[2], int64_t first, int64_t rows, const double *delta,
                        const fbp_update *update)
{
    const fbp_kernels *k = f->table;
    const int64_t n = twins[0].strip.fan_out;
    rows_of x = compact(k, real, u, NULL, first, rows);
    strips_of strips = cut(k, real, rows, &x, u->n_cols, 3);
    panels a = panels_new(k, real, rows, u->n_cols), d = panels_new(k, real, rows, n);
    buffer z = buffer_new(real, rows);
    panels_fill(&a, u->x + first * u->n_cols, rows, 0);
    panels_fill(&d, delta + first * n, rows, 0);
    for (int64_t r = 0; r < rows; r++)
        put(&z, r, delta[(first + r) * n]);
    for (int sparse = 0; sparse < 2; sparse++) {
        fbp_strip s = twins[sparse].strip;
        s.rows = rows;
        s.a = sparse ? NULL : a.b.data, s.a_stride = a.stride;
        s.x = sparse ? &strips.strips : NULL;
        s.delta = column ? z.data : d.b.data, s.delta_stride = d.stride;
        run_strips(k, solver, column, sparse, s, update);
    }
    buffer_free(&a.b), buffer_free(&d.b), buffer_free(&z);
    strips_of_free(&strips);
    rows_of_free(&x);
}

static void test_update(const family *f, int real, int64_t n_cols, int64_t n, int solver,
                        int column)
{
    fbp_update update = {0.5, 1.0 / ROWS, 0.25, 0.03, 0.5, 0.5, 0.75, 0.125, 1, 1};
    user_rows u = user_rows_new(real, 32, 0, n_cols);
    double *delta = matrix_random(real, ROWS * n, REALS);
    for (int chunks = 1; chunks <= 2; chunks++) {
        const uint64_t before = random_state;
        layer_state twins[2];
        for (int i = 0; i < 2; i++, random_state = i < 2 ? before : random_state)
            twins[i] = layer_state_new(f->table, real, n_cols, n, column);
        for (int chunk = 0; chunk < chunks; chunk++) {
            update.first = chunk == 0, update.last = chunk == chunks - 1;
            update_both(f, real, solver, column, &u, twins, chunk * 15,
                        update.last ? ROWS - chunk * 15 : 15, delta, &update);
        }
        for (int i = 0; i < N_ARRAYS; i++) {
            const buffer *dense = &twins[0].arrays[i], *sparse = &twins[1].arrays[i];
            CHECK(memcmp(dense->data, sparse->data, (size_t)dense->n * real_bytes(real)) == 0,
                  "update %s %s %s %lld → %lld, %d chunks%s: array %d differs",
                  fbp_isa_name(f->isa), real_name(real), fbp_solver_name(solver), (long long)n_cols,
                  (long long)n, chunks, column ? ", column" : "", i);
            buffer_free(&twins[0].arrays[i]), buffer_free(&twins[1].arrays[i]);
        }
    }
    user_rows_free(&u);
    free(delta);
}

static void test_kernels(const family *f, int real)
{
    const int64_t lanes = f->table->lanes, nr = f->table->nr;
    const int64_t widths[] = {1, lanes + 1, nr - 1, nr, nr + 1, 2 * nr + lanes + 1};
    const int64_t columns[] = {1, 31, 32, 33, 64, 130};
    for (int i = 0; i < 6; i++) {
        test_compact(f, real, columns[i]);
        test_cut(f, real, columns[i]);
        for (int j = 0; j < 6; j++) {
            test_forward(f, real, columns[i], widths[j], (i + j) % FBP_N_ACTIVATIONS, 0);
            test_update(f, real, columns[i], widths[j], (i + j) % FBP_N_SOLVERS, 0);
        }
        test_forward(f, real, columns[i], 1, FBP_ACT_IDENTITY, 1);
    }
    for (int i = 0; i < FBP_N_ACTIVATIONS; i++)
        test_forward(f, real, 70, nr + 1, i, 0);
    for (int solver = 0; solver < FBP_N_SOLVERS; solver++) {
        test_update(f, real, 70, nr + 1, solver, 0);
        for (int i = 0; i < 6; i++)
            test_update(f, real, columns[i], 1, solver, 1);
    }
}

int main(void)
{
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int f = 0; f < n_families; f++)
            test_kernels(&families[f], real);
    }
    return check_done("sparse");
}
