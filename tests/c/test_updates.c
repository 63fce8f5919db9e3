/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The product of the weights phase with each solver as its epilogue, in both forms (panels, one
 * column), for every family: W, b, the solver's state, the packed Wᵀ and the sums of W², against an
 * oracle in long double, and bitwise against ref where the family is fused; and in two chunks, which
 * must change no bit.
 *
 * Rests on: pack (test_layouts).
 */
#include "kernels.h"

typedef struct {
    int64_t rows, fan_in, fan_out;
    int real, solver, column, chunks, with_wt;
    filling kind;
    fbp_update update;
} problem;

/* A layer's parameters as plain arrays: W, b, two moments of each, ΣW² in double. */
typedef struct {
    int64_t n_w, n_b;
    double *w, *b, *mw[2], *mb[2];
    double squares;
} state;

static char label[200];

static state state_new(const problem *p, int random)
{
    state s = {.n_w = p->fan_in * p->fan_out, .n_b = p->fan_out};
    s.w = random ? matrix_random(p->real, s.n_w, p->kind) : matrix_new(s.n_w);
    s.b = random ? matrix_random(p->real, s.n_b, p->kind) : matrix_new(s.n_b);
    for (int m = 0; m < 2; m++) {
        const filling kind = p->kind == INTEGERS ? INTEGERS : UNIT; /* Adam's v is not negative */
        s.mw[m] = random ? matrix_random(p->real, s.n_w, kind) : matrix_new(s.n_w);
        s.mb[m] = random ? matrix_random(p->real, s.n_b, kind) : matrix_new(s.n_b);
    }
    return s;
}

static void state_free(state *s)
{
    free(s->w), free(s->b);
    for (int m = 0; m < 2; m++)
        free(s->mw[m]), free(s->mb[m]);
}

/* One parameter by the book; returns the new value, updates the moments. */
static exact exact_step(const problem *p, exact w, exact g, double *m0, double *m1)
{
    const fbp_update *u = &p->update;
    const exact rate = (exact)u->learning_rate, momentum = (exact)u->momentum;
    exact v;
    switch (p->solver) {
    case FBP_SOLVER_GRADIENT:
        *m0 = (double)g;
        return w;
    case FBP_SOLVER_SGD:
        v = momentum * (exact)*m0 - rate * g;
        *m0 = (double)v;
        return w + v;
    case FBP_SOLVER_NESTEROV:
        v = momentum * (exact)*m0 - rate * g;
        *m0 = (double)v;
        return w + momentum * v - rate * g;
    case FBP_SOLVER_ADAM:
        v = (exact)u->beta_1 * (exact)*m0 + (1 - (exact)u->beta_1) * g;
        *m0 = (double)v;
        *m1 = (double)((exact)u->beta_2 * (exact)*m1 + (1 - (exact)u->beta_2) * g * g);
        return w - rate * v / (sqrtl((exact)*m1) + (exact)u->epsilon);
    default: /* keeps no state */
        return w - rate * g;
    }
}

/* One parameter with gradient sum `dot` of magnitude `size`: its new values and their tolerance. An
 * intercept has neither penalty nor decay. */
static void oracle_one(const problem *p, exact dot, exact size, int decays, int64_t at, double *w,
                       double *moments[2], double *w_tolerance, double *m_tolerance)
{
    const exact u = (exact)unit_roundoff(p->real), old = (exact)*w;
    const double alpha = decays ? p->update.alpha : 0;
    const exact g = (dot + (exact)alpha * old) * (exact)p->update.scale;
    const exact g_error = ((exact)(p->rows + 6) * u * size + 4 * u * fabsl((exact)alpha * old)) *
                              (exact)p->update.scale +
                          2 * u * fabsl(g);
    const exact kept = decays ? old * (1 - (exact)p->update.decay) : old;
    *w = (double)exact_step(p, kept, g, &moments[0][at], &moments[1][at]);
    /* No solver here moves a parameter more than 4 per unit of gradient (ε = 0.1), nor a moment. */
    const exact error = p->kind == INTEGERS ? 0 : 4 * g_error + 8 * u * (fabsl(old) + 3);
    *w_tolerance = (double)error;
    *m_tolerance =
        (double)(p->kind == INTEGERS ? 0 : 2 * (1 + fabsl(g)) * g_error + 8 * u * (1 + g * g));
}

static void oracle(const problem *p, const double *a, const double *delta, state *s,
                   state *tolerance)
{
    exact squares = 0;
    for (int64_t i = 0; i < p->fan_in; i++)
        for (int64_t j = 0; j < p->fan_out; j++) {
            const int64_t at = i * p->fan_out + j;
            exact dot = 0, size = 0;
            for (int64_t r = 0; r < p->rows; r++) {
                const exact term = (exact)a[r * p->fan_in + i] * (exact)delta[r * p->fan_out + j];
                dot += term, size += fabsl(term);
            }
            squares += (exact)s->w[at] * (exact)s->w[at];
            oracle_one(p, dot, size, 1, at, &s->w[at], s->mw, &tolerance->w[at],
                       &tolerance->mw[0][at]);
        }
    for (int64_t j = 0; j < p->fan_out; j++) {
        exact dot = 0, size = 0;
        for (int64_t r = 0; r < p->rows; r++)
            dot += (exact)delta[r * p->fan_out + j],
                size += fabsl((exact)delta[r * p->fan_out + j]);
        oracle_one(p, dot, size, 0, j, &s->b[j], s->mb, &tolerance->b[j], &tolerance->mb[0][j]);
    }
    s->squares = (double)squares;
}

/* A plain [fan_in × fan_out] as the family keeps W, or a vector; padding zero, as the arena's. */
static buffer layer_array(const fbp_kernels *k, const problem *p, const double *values)
{
    if (p->column) return vector_new(k, p->real, values, p->fan_in, 0);
    packed both = packed_new(k, p->real, p->fan_in, p->fan_out, values);
    buffer_free(&both.wt);
    return both.w;
}

static void layer_read(const fbp_kernels *k, const problem *p, const buffer *b, double *values)
{
    for (int64_t i = 0; i < p->fan_in; i++)
        for (int64_t j = 0; j < p->fan_out; j++)
            values[i * p->fan_out + j] =
                get(b, p->column ? i : packed_at(k, p->fan_in, p->fan_out, i, j));
}

/* Every strip of the layer, once per chunk of the batch. */
static void run_strips(const fbp_kernels *k, const problem *p, fbp_strip strip, const panels *a,
                       const buffer *delta)
{
    const size_t bytes = real_bytes(p->real);
    const int64_t half = p->chunks == 2 ? p->rows / 2 : p->rows;
    for (int chunk = 0; chunk < p->chunks; chunk++) {
        const int64_t begin = chunk * half;
        fbp_update update = p->update;
        update.first = chunk == 0, update.last = chunk == p->chunks - 1;
        strip.rows = update.last ? p->rows - begin : half;
        strip.a = (const char *)a->b.data + (size_t)(begin * k->nr) * bytes;
        strip.delta = (const char *)delta->data + (size_t)(begin * (p->column ? 1 : k->nr)) * bytes;
        if (p->column) {
            strip.i1 = p->fan_in;
            k->update_column[p->solver](&strip, &update);
            continue;
        }
        for (strip.panel = 0; strip.panel * k->nr < p->fan_out; strip.panel++)
            for (strip.i0 = 0; strip.i0 < p->fan_in; strip.i0 += FBP_STRIP_ROWS) {
                strip.i1 = fbp_min(p->fan_in, strip.i0 + FBP_STRIP_ROWS);
                k->update[p->solver](&strip, &update);
            }
    }
}

static void check_transposed(const fbp_kernels *k, const problem *p, const buffer *w,
                             const buffer *wt)
{
    int64_t different = 0;
    for (int64_t i = 0; i < p->fan_in; i++)
        for (int64_t j = 0; j < p->fan_out; j++)
            different += !same_bits(get(w, packed_at(k, p->fan_in, p->fan_out, i, j)),
                                    get(wt, packed_at(k, p->fan_out, p->fan_in, j, i)));
    CHECK(different == 0, "%s: %lld of Wᵀ are not those of W", label, (long long)different);
}

static double sum_squares(const fbp_kernels *k, const problem *p, const buffer *squares)
{
    const int64_t used = p->column ? 1 : fbp_round_up(p->fan_out, k->lanes);
    double sum = 0;
    for (int64_t i = 0; i < squares->n; i++)
        if (i % used < p->fan_out) /* the padding's weights are poison here, zeros in a net */
            sum += get(squares, i);
    return sum;
}

/* The family's update of `s`, in place. */
static void run_update(const family *f, const problem *p, const double *a, const double *delta,
                       state *s)
{
    const fbp_kernels *k = f->table;
    const int n_moments = p->solver == FBP_SOLVER_GRADIENT ? 1 : fbp_solver_n_moments(p->solver);
    panels in = panels_new(k, p->real, p->rows, p->fan_in);
    panels out = panels_new(k, p->real, p->rows, p->fan_out);
    panels_fill(&in, a, p->rows, NAN);
    if (!p->column) panels_fill(&out, delta, p->rows, NAN);
    buffer column = buffer_new(p->real, p->rows);
    for (int64_t r = 0; p->column && r < p->rows; r++)
        put(&column, r, delta[r]);
    buffer w = layer_array(k, p, s->w), b = vector_new(k, p->real, s->b, s->n_b, 0), mw[2], mb[2];
    buffer gw = buffer_new(p->real, w.n), gb = buffer_new(p->real, b.n);
    buffer wt = buffer_new(p->real, p->fan_out * fbp_round_up(p->fan_in, k->lanes));
    buffer squares = buffer_new(p->real, fbp_ceil_div(p->fan_in, FBP_STRIP_ROWS) *
                                             (p->column ? 1 : fbp_round_up(p->fan_out, k->lanes)));
    fbp_strip strip = {
        .fan_in = p->fan_in,
        .fan_out = p->fan_out,
        .a_stride = in.stride,
        .delta_stride = out.stride,
        .w = w.data,
        .wt = p->with_wt ? wt.data : NULL,
        .b = b.data,
        .squares = squares.data,
        .gw = p->chunks > 1 ? gw.data : NULL,
        .gb = p->chunks > 1 ? gb.data : NULL,
    };
    for (int m = 0; m < n_moments; m++) {
        mw[m] = layer_array(k, p, s->mw[m]), mb[m] = vector_new(k, p->real, s->mb[m], s->n_b, 0);
        strip.mw[m] = mw[m].data, strip.mb[m] = mb[m].data;
    }
    run_strips(k, p, strip, &in, p->column ? &column : &out.b);

    layer_read(k, p, &w, s->w);
    for (int64_t j = 0; j < s->n_b; j++)
        s->b[j] = get(&b, j);
    for (int m = 0; m < n_moments; m++) {
        layer_read(k, p, &mw[m], s->mw[m]);
        for (int64_t j = 0; j < s->n_b; j++)
            s->mb[m][j] = get(&mb[m], j);
        buffer_free(&mw[m]), buffer_free(&mb[m]);
    }
    if (p->with_wt) check_transposed(k, p, &w, &wt);
    s->squares = sum_squares(k, p, &squares);
    buffer_free(&in.b), buffer_free(&out.b), buffer_free(&column), buffer_free(&w), buffer_free(&b);
    buffer_free(&gw), buffer_free(&gb), buffer_free(&wt), buffer_free(&squares);
}

static void compare(const problem *p, const state *actual, const state *expected,
                    const state *tolerance, const state *kept)
{
    const int n_moments = p->solver == FBP_SOLVER_GRADIENT ? 1 : fbp_solver_n_moments(p->solver);
    check_close(label, actual->n_w, actual->w, expected->w, tolerance->w);
    check_close(label, actual->n_b, actual->b, expected->b, tolerance->b);
    check_same(label, actual->n_w, actual->w, kept->w);
    check_same(label, actual->n_b, actual->b, kept->b);
    for (int m = 0; m < n_moments; m++) {
        check_close(label, actual->n_w, actual->mw[m], expected->mw[m], tolerance->mw[0]);
        check_close(label, actual->n_b, actual->mb[m], expected->mb[m], tolerance->mb[0]);
        check_same(label, actual->n_w, actual->mw[m], kept->mw[m]);
        check_same(label, actual->n_b, actual->mb[m], kept->mb[m]);
    }
    CHECK(fabs(actual->squares - expected->squares) <=
              (p->kind == INTEGERS ? 0 : 40 * unit_roundoff(p->real) * expected->squares),
          "%s: sum of squares %g, expected %g", label, actual->squares, expected->squares);
    CHECK(same_bits(actual->squares, kept->squares), "%s: sum of squares has other bits", label);
}

static state state_copy(const problem *p, const state *from)
{
    state s = state_new(p, 0);
    memcpy(s.w, from->w, sizeof(double) * (size_t)s.n_w);
    memcpy(s.b, from->b, sizeof(double) * (size_t)s.n_b);
    for (int m = 0; m < 2; m++) {
        memcpy(s.mw[m], from->mw[m], sizeof(double) * (size_t)s.n_w);
        memcpy(s.mb[m], from->mb[m], sizeof(double) * (size_t)s.n_b);
    }
    return s;
}

static void test_update(problem *p)
{
    family families[FBP_N_ISAS];
    const int n_families = families_of(p->real, families);
    double *a = matrix_random(p->real, p->rows * p->fan_in, p->kind);
    double *delta = matrix_random(p->real, p->rows * p->fan_out, p->kind);
    state start = state_new(p, 1), expected = state_copy(p, &start), tolerance = state_new(p, 0);
    state kept[2] = {0}; /* in one chunk: a family of own bits, and ref */
    oracle(p, a, delta, &expected, &tolerance);
    for (int f = 0; f < n_families; f++)
        for (p->chunks = 1; p->chunks <= (p->rows > 1 ? 2 : 1); p->chunks++) {
            const int fused = families[f].table->fused;
            snprintf(label, sizeof label, "update%s %s %s %s %lld x %lld x %lld, %d chunks",
                     p->column ? " column" : "", fbp_isa_name(families[f].isa), real_name(p->real),
                     fbp_solver_name(p->solver), (long long)p->fan_in, (long long)p->fan_out,
                     (long long)p->rows, p->chunks);
            state s = state_copy(p, &start);
            run_update(&families[f], p, a, delta, &s);
            if (p->chunks == 1 && (f == 0 || !fused)) {
                state_free(&kept[fused]);
                kept[fused] = state_copy(p, &s), kept[fused].squares = s.squares;
            }
            compare(p, &s, &expected, &tolerance, &kept[fused]);
            state_free(&s);
        }
    state_free(&start), state_free(&expected), state_free(&tolerance);
    state_free(&kept[0]), state_free(&kept[1]);
    free(a), free(delta);
}

/* One solver, or all of them when it is FBP_N_SOLVERS. */
static void test_shape(int real, int only, int64_t rows, int64_t fan_in, int64_t fan_out)
{
    const fbp_update reals = {.alpha = 0.5,
                              .scale = 1.0 / (double)rows,
                              .learning_rate = 0.25,
                              .decay = 0.375,
                              .momentum = 0.5,
                              .beta_1 = 0.5,
                              .beta_2 = 0.75,
                              .epsilon = 0.125};
    const fbp_update integers = {
        .alpha = 2, .scale = 1, .learning_rate = 1, .decay = 3, .momentum = 1};
    for (int solver = 0; solver < FBP_N_SOLVERS; solver++)
        for (int kind = REALS; kind <= INTEGERS; kind++) {
            problem p = {
                rows, fan_in, fan_out,       real,          solver,
                0,    1,      rows % 2 != 0, (filling)kind, kind == REALS ? reals : integers};
            if ((kind == INTEGERS && solver == FBP_SOLVER_ADAM) ||
                (only != FBP_N_SOLVERS && solver != only))
                continue;
            test_update(&p);
            p.column = 1, p.with_wt = 0;
            if (fan_out == 1) test_update(&p);
        }
}

/* Integers, which must come out exactly, flush against one end of their pages and then the other. */
static void test_integers(int real, int64_t rows, int64_t fan_in, int64_t fan_out)
{
    const fbp_update update = {.alpha = 2, .scale = 1};
    problem p = {rows, fan_in, fan_out,       real,     FBP_SOLVER_GRADIENT,
                 0,    1,      rows % 2 != 0, INTEGERS, update};
    flush_front = !flush_front;
    test_update(&p);
    p.column = 1, p.with_wt = 0;
    if (fan_out == 1) test_update(&p);
}

static void test_every_shape(void)
{
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        for (int64_t rows = 1; rows <= EVERY_SIZE; rows++)
            for (int64_t fan_in = 1; fan_in <= EVERY_SIZE; fan_in++)
                for (int64_t fan_out = 1; fan_out <= EVERY_SIZE; fan_out++)
                    test_integers(real, rows, fan_in, fan_out);
        for (int i = 0; i < N_LARGE; i++)
            test_integers(real, 34 + random_below(400), 34 + random_below(70),
                          34 + random_below(200));
    }
    flush_front = 0;
}

int main(int argc, char **argv)
{
    flush_subnormals();
    if (is_exhaustive(argc, argv)) test_every_shape();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int f = 0; f < n_families; f++) {
            const int64_t lanes = families[f].table->lanes, nr = families[f].table->nr;
            const int64_t sizes[] = {1, lanes + 1, nr - 1, nr, nr + 1, 2 * nr + lanes + 1};
            for (int i = 0; i < 6; i++)
                for (int j = 0; j < 6; j++)
                    test_shape(real, i == j ? FBP_N_SOLVERS : (i + j) % FBP_N_SOLVERS,
                               1 + (7 * i + 3 * j) % 20, sizes[i], sizes[j]);
        }
        for (int64_t size = 1; size < 60; size = 2 * size + 1)
            test_integers(real, size, size + 1, size + 2), test_integers(real, 3, size, 1);
        const int64_t strips[] = {31, 32, 33, 64, 65};
        for (int i = 0; i < 5; i++)
            test_shape(real, FBP_N_SOLVERS, 9, strips[i], 1 + 17 * i);
        test_shape(real, FBP_SOLVER_ADAM, 300, 130, 70);
        test_shape(real, FBP_SOLVER_NESTEROV, 200, 500, 1);
        test_shape(real, FBP_SOLVER_SGD, 145, 40, 49);
        test_shape(real, FBP_SOLVER_GRADIENT, 288, 33, 97);
    }
    return check_done("updates");
}
