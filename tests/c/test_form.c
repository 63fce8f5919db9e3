/* SPDX-License-Identifier: BSD-3-Clause */
/* The form of the rows phase: which is chosen, and that both give the same bits. */
#include "form.h"
#include "trainer.h"

static const fbp_step step = {.alpha = 0.1,
                              .learning_rate = 0.01,
                              .momentum = 0.9,
                              .beta_1 = 0.9,
                              .beta_2 = 0.99,
                              .epsilon = 1e-8,
                              .dropout_seed = 7};

static void test_grids(void)
{
    for (int64_t tiles = 1; tiles <= 40; tiles += 3)
        for (int64_t n_panels = 1; n_panels <= 50; n_panels += 7)
            for (int n = 1; n <= 64; n += 5) {
                const fbp_grid grid = fbp_grid_choose(tiles, n_panels, n);
                CHECK(grid.rows >= 1 && grid.columns >= 1 && grid.rows * grid.columns <= n,
                      "%d × %d parts for %d threads", grid.rows, grid.columns, n);
                CHECK(grid.rows <= tiles && grid.columns <= n_panels, "an empty cell");
            }
    const fbp_grid square = fbp_grid_choose(4, 4, 16), flat = fbp_grid_choose(1, 8, 8);
    CHECK(square.rows == 4 && square.columns == 4, "4 × 4 on 16 is %d × %d", square.rows,
          square.columns);
    CHECK(flat.rows == 1 && flat.columns == 8, "1 × 8 on 8 is %d × %d", flat.rows, flat.columns);
}

static int form_of(const trainer *t, int64_t batch_rows, int n_threads)
{
    fbp_net *net = net_of(t, best_isa(t->p), n_threads, batch_rows);
    if (!net) return -1;
    fbp_plan_form(net, batch_rows, n_threads);
    const int form = net->by_layer;
    fbp_net_destroy(net);
    return form;
}

/* Many rows for the threads stay apart; few rows of a wide network are shared. */
static void test_choice(const trainer *wide, const trainer *small)
{
    CHECK(form_of(wide, 1024, 2) == 0, "wide, 1024 rows on 2 threads: by layer");
    CHECK(form_of(wide, 8, 2) == 1, "wide, 8 rows on 2 threads: not by layer");
    CHECK(form_of(wide, 24, 16) == 1, "wide, 24 rows on 16 threads: not by layer");
    CHECK(form_of(wide, 8, 1) == 0, "one thread: by layer");
    CHECK(form_of(small, 200, 2) == 0, "small, 200 rows on 2 threads: by layer");
}

/* Weights after some steps, on some threads; NULL for a failure. */
static void *train(const trainer *t, const fbp_data *data, int isa, int64_t batch_rows,
                   int n_threads)
{
    const problem *p = t->p;
    fbp_progress progress;
    fbp_net *net = net_of(t, isa, n_threads, batch_rows);
    if (!net) return NULL;
    for (int epoch = 0; epoch < (fewer_cases() ? 1 : 2); epoch++)
        CHECK(fbp_train(net, data, NULL, p->n_rows, batch_rows, &step, &progress) == FBP_OK,
              "train");
    void *out = allocate(real_bytes(p->real) * (size_t)n_parameters(p));
    net_parameters(p, net, out);
    fbp_net_destroy(net);
    return out;
}

/* Batches of few rows: the last one has fewer still. */
static void test_same_bits(const trainer *t)
{
    static const int threads[] = {2, 3, 5, 8};
    const problem *p = t->p;
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int64_t rows = 3; fbp_isa_available(isa) && rows <= (isa == FBP_ISA_REF ? 3 : 24);
             rows *= 2) { /* ref is slow */
            void *alone = train(t, &data, isa, rows, 1);
            for (int i = 0; alone && i < (isa == FBP_ISA_REF ? 1 : 4); i += fewer_cases() ? 2 : 1) {
                void *shared = train(t, &data, isa, rows, threads[i]);
                CHECK(shared &&
                          memcmp(alone, shared, real_bytes(p->real) * (size_t)n_parameters(p)) == 0,
                      "%s, %d rows on %d threads: other weights", fbp_isa_name(isa), (int)rows,
                      threads[i]);
                free(shared);
            }
            free(alone);
        }
    samples_free(&s);
}

int main(void)
{
    test_grids();
    for (int real = FBP_F32; real <= FBP_F64; real++)
        for (int n_out = 1; n_out <= 5; n_out += 4) {
            const problem wide = {3,
                                  FBP_ACT_TANH,
                                  FBP_LOSS_SQUARED_ERROR,
                                  FBP_SOLVER_ADAM,
                                  real,
                                  0,
                                  {130, 400, 300, n_out},
                                  fewer_cases() ? 26 : 40,
                                  step,
                                  FBP_PRECISION_HIGHEST,
                                  {n_out == 5 ? 0.5 : 0}};
            problem small = wide;
            small.units[0] = 9, small.units[1] = 20, small.units[2] = 10;
            trainer t = trainer_new(&wide), u = trainer_new(&small);
            test_choice(&t, &u);
            test_same_bits(&t);
            trainer_free(&t);
            trainer_free(&u);
        }
    return check_done("form");
}
