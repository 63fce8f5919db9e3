/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a caller passes is read to its end and not beyond: X, y, weights, orders and outputs lie flush
 * against pages that may not be touched, behind them or before.
 *
 * Rests on: training and predictions being right (test_training, test_sparse_nets).
 */
#include "trainer.h"

enum { N_ROWS = 37, BATCH = 10, N_IN = 13, N_OUT = 2 };

/* A problem's arrays, each in a buffer of its own. */
typedef struct {
    buffer x, indices, indptr, y, weights, order;
    fbp_data data;
} guarded;

static buffer guard(const void *from, size_t bytes)
{
    buffer b = buffer_of_bytes(bytes);
    memcpy(b.data, from, bytes);
    return b;
}

/* X's values that are not zero, as CSR: every third, so that rows differ in length. */
static void make_sparse(guarded *g, const samples *s, int real, int bits)
{
    double values[N_ROWS * N_IN];
    int64_t columns[N_ROWS * N_IN], starts[N_ROWS + 1] = {0}, n = 0;
    int32_t short_columns[N_ROWS * N_IN], short_starts[N_ROWS + 1] = {0};
    for (int64_t r = 0; r < N_ROWS; r++) {
        for (int64_t c = r % 3; c < N_IN; c += 3) {
            values[n] = s->x[r * N_IN + c];
            short_columns[n] = (int32_t)c;
            columns[n++] = c;
        }
        starts[r + 1] = n;
        short_starts[r + 1] = (int32_t)n;
    }
    void *reals = as_reals(real, values, n);
    const size_t bytes = (size_t)bits / 8;
    g->x = guard(reals, (size_t)n * real_bytes(real));
    g->indices = guard(bits == 32 ? (void *)short_columns : columns, (size_t)n * bytes);
    g->indptr = guard(bits == 32 ? (void *)short_starts : starts, (N_ROWS + 1) * bytes);
    g->data.x =
        (fbp_matrix){N_ROWS, N_IN, real, bits, g->x.data, 0, g->indices.data, g->indptr.data};
    free(reals);
}

/* With bits of indices for sparse X, 0 for dense. */
static guarded guarded_new(const problem *p, int bits)
{
    samples s = samples_new(p);
    guarded g = {.data = data_of(p, &s)};
    const size_t bytes = real_bytes(p->real);
    int64_t falling[N_ROWS];
    for (int64_t r = 0; r < N_ROWS; r++)
        falling[r] = N_ROWS - 1 - r;
    if (bits) {
        make_sparse(&g, &s, p->real, bits);
    } else {
        g.x = guard(s.x_real, N_ROWS * N_IN * bytes);
        g.data.x.data = g.x.data;
    }
    const int codes = fbp_loss_takes_codes(p->loss);
    g.y = guard(g.data.y, codes ? N_ROWS * sizeof(int32_t) : N_ROWS * N_OUT * bytes);
    g.weights = guard(s.weights_real, N_ROWS * bytes);
    g.order = guard(falling, sizeof falling);
    g.data.y = g.y.data, g.data.weights = g.weights.data;
    samples_free(&s);
    return g;
}

static void guarded_free(guarded *g)
{
    buffer *const all[] = {&g->x, &g->indices, &g->indptr, &g->y, &g->weights, &g->order};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->mapping) buffer_free(all[i]);
}

/* Train, with an order and without, then predict and take losses. */
static void learn(const trainer *t, const guarded *g, int isa, int n_threads)
{
    const problem *p = t->p;
    buffer out = buffer_new(p->real, N_ROWS * N_OUT), losses = buffer_new(FBP_F64, N_ROWS);
    fbp_net *net = net_of(t, isa, n_threads, BATCH);
    fbp_progress progress;
    for (int ordered = 0; ordered < 2; ordered++) {
        const int64_t *order = ordered ? g->order.data : NULL;
        CHECK(fbp_train(net, &g->data, order, N_ROWS, BATCH, &p->step, &progress) == FBP_OK,
              "train");
        CHECK(fbp_predict_loss(net, &g->data, order, N_ROWS, NULL, NULL, losses.data) == FBP_OK,
              "losses");
    }
    CHECK(fbp_predict(net, &g->data.x, 0, NULL, NULL, p->real, out.data) == FBP_OK, "predict");
    for (int64_t i = 0; i < out.n; i++)
        CHECK(isfinite(get(&out, i)), "an output is missing");
    for (int64_t r = 0; r < N_ROWS; r++)
        CHECK(isfinite(get(&losses, r)), "a loss is missing");
    fbp_net_destroy(net);
    buffer_free(&out), buffer_free(&losses);
}

static void take_gradient(const trainer *t, const guarded *g, int isa, int n_threads)
{
    const problem *p = t->p;
    buffer gradient = buffer_new(p->real, n_parameters(p));
    double loss = NAN;
    fbp_net *net = net_of(t, isa, n_threads, N_ROWS);
    CHECK(fbp_loss_gradient(net, &g->data, &p->step, &loss, gradient.data, NULL) == FBP_OK, "");
    CHECK(isfinite(loss), "no loss");
    for (int64_t i = 0; i < gradient.n; i++)
        CHECK(isfinite(get(&gradient, i)), "a gradient is missing");
    fbp_net_destroy(net);
    buffer_free(&gradient);
}

static void test_problem(int loss, int real, int bits)
{
    for (int solver = 0; solver < 2; solver++) {
        problem p = usual_problem(loss, solver ? FBP_SOLVER_ADAM : FBP_SOLVER_GRADIENT);
        p.real = real, p.weighted = 1, p.n_rows = N_ROWS;
        p.units[0] = N_IN, p.units[1] = 9, p.units[2] = N_OUT;
        trainer t = trainer_new(&p);
        t.nonzeros = bits ? N_IN : 0;
        guarded g = guarded_new(&p, bits);
        for (int isa = 0; isa < FBP_N_ISAS; isa++)
            for (int threads = 1; fbp_isa_available(isa) && threads <= 3; threads += 2)
                (solver ? learn : take_gradient)(&t, &g, isa, threads);
        guarded_free(&g);
        trainer_free(&t);
    }
}

int main(void)
{
    for (flush_front = 0; flush_front < 2; flush_front++)
        for (int real = FBP_F32; real <= FBP_F64; real++)
            for (int bits = 0; bits <= 64; bits += 32) {
                test_problem(FBP_LOSS_LOG_LOSS, real, bits);
                test_problem(FBP_LOSS_SQUARED_ERROR, real, bits);
            }
    return check_done("borders");
}
