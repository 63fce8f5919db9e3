/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What calls refuse, one argument at a time, where the test of the api does not yet; sizes that nobody
 * has memory for; and what they do not refuse though there is nothing in it.
 */
#include "arena.h"
#include "data.h"
#include "split.h"
#include "trainer.h"

/* Pieces that cannot be counted in bytes, and a block that no machine has. */
static void test_arena(void)
{
    fbp_arena arena = {0};
    CHECK(!fbp_arena_take(&arena, -1, 8) && arena.overflow, "a negative count");
    arena = (fbp_arena){0};
    CHECK(!fbp_arena_take(&arena, INT64_MAX / 4, 8) && arena.overflow, "a count times its size");
    arena = (fbp_arena){0};
    fbp_arena_take(&arena, INT64_MAX, 0);
    CHECK(!arena.overflow && arena.used <= 128, "any number of nothing");
    for (int i = 0; i < 3; i++)
        fbp_arena_take(&arena, PTRDIFF_MAX / 5 * 2, 1);
    CHECK(arena.overflow, "pieces that are too large together");
    void *owner = &arena;
    CHECK(!fbp_arena_allocate(&arena, &owner) && owner == &arena, "allocated after all");
    arena = (fbp_arena){.used = (size_t)1 << 62};
    CHECK(!fbp_arena_allocate(&arena, &owner) && owner == &arena, "2^62 bytes");
    CHECK(fbp_split_tiles(INT64_C(1) << 40, INT64_C(1) << 40) < 0, "tiles that cannot be counted");
    CHECK(fbp_split_tiles(33, 33) == 6, "3 x 2 tiles");
}

static void test_specs(void)
{
    const int64_t units[] = {5, 4, 3}, wide[] = {INT64_C(1) << 31, 4, 3};
    const int32_t activations[] = {FBP_ACT_TANH};
    const fbp_spec good = {.n_layers = 2,
                           .units = units,
                           .activations = activations,
                           .solver = FBP_SOLVER_ADAM,
                           .n_threads = 1,
                           .max_rows = 10};
    fbp_net *net = NULL;
    fbp_spec bad = good;
    bad.solver = -1;
    CHECK(fbp_net_create(&bad, &net) == FBP_EINVAL && !net, "a solver below the first");
    bad = good, bad.max_row_nonzeros = -1;
    CHECK(fbp_net_create(&bad, &net) == FBP_EINVAL && !net, "nonzeros of a row");
    bad = good, bad.max_batch_nonzeros = -1;
    CHECK(fbp_net_create(&bad, &net) == FBP_EINVAL && !net, "nonzeros of a batch");
    bad = good, bad.units = wide, bad.max_row_nonzeros = 1, bad.max_rows = 0;
    CHECK(fbp_net_create(&bad, &net) == FBP_ENOMEM && !net, "columns beyond 32 bits");
    bad = good, bad.n_layers = 0;
    CHECK(!fbp_spec_splits(&bad) && !fbp_spec_splits(&good), "no split products");
    CHECK(fbp_net_get_step_count(NULL) == 0, "steps of no net");
    CHECK(fbp_net_set_step_count(NULL, 1, 0.9, 0.9) == FBP_EINVAL, "no net");
    CHECK(!fbp_precision_name(-1) && !fbp_precision_name(FBP_N_PRECISIONS), "no precision");
    CHECK(strcmp(fbp_precision_name(FBP_PRECISION_MEDIUM), "medium") == 0, "medium");
#ifdef _OPENMP
    CHECK(fbp_openmp_version() == _OPENMP, "OpenMP %d", fbp_openmp_version());
#else
    CHECK(fbp_openmp_version() == 0, "no OpenMP, but %d", fbp_openmp_version());
#endif
    CHECK(!fbp_split_start(FBP_ISA_REF), "ref splits nothing");
    CHECK(!fbp_matrix_is_valid(NULL, 3), "no matrix");
    CHECK(!fbp_loss_takes_codes(-1) && !fbp_loss_takes_codes(FBP_N_LOSSES), "no loss");
}

/* Each of a layer's and a moment's two arrays. */
static void test_parameters(void)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    trainer t = trainer_new(&p);
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 10);
    double w[800], b[40];
    CHECK(fbp_net_set_layer(net, 0, t.w[0], NULL) == FBP_EINVAL, "set: no intercept");
    CHECK(fbp_net_get_layer(net, 0, NULL, b) == FBP_EINVAL, "get: no coef");
    CHECK(fbp_net_get_layer(net, 0, w, NULL) == FBP_EINVAL, "get: no intercept");
    CHECK(fbp_net_set_moment(net, 0, 0, NULL, t.b[0]) == FBP_EINVAL, "moment: no coef");
    CHECK(fbp_net_set_moment(net, 0, 0, t.w[0], NULL) == FBP_EINVAL, "moment: no intercept");
    CHECK(fbp_net_get_moment(net, 0, 0, NULL, b) == FBP_EINVAL, "get moment: no coef");
    CHECK(fbp_net_get_moment(net, 0, 0, w, NULL) == FBP_EINVAL, "get moment: no intercept");
    fbp_net_destroy(net);
    trainer_free(&t);
}

static void test_data(int real)
{
    problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_SGD);
    p.real = real;
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data good = data_of(&p, &s);
    fbp_data bad = good;
    fbp_progress progress;
    double out[300];
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 50);
    CHECK(fbp_train(net, NULL, NULL, 10, 10, &usual, &progress) == FBP_EINVAL, "no data");
    bad.weights = s.weights_real;
    const double values[] = {-1, NAN, INFINITY, 1};
    for (int i = 0; i < 4; i++) {
        buffer weights = buffer_new(real, p.n_rows);
        for (int64_t r = 0; r < p.n_rows; r++)
            put(&weights, r, 1);
        put(&weights, 77, values[i]);
        bad.weights = weights.data;
        CHECK(fbp_train(net, &bad, NULL, 10, 10, &usual, &progress) ==
                  (i < 3 ? FBP_EINVAL : FBP_OK),
              "%s: weight %g", real_name(real), values[i]);
        buffer_free(&weights);
    }
    bad = good, bad.x.n_rows = 0, bad.x.data = NULL, bad.y = NULL;
    CHECK(fbp_train(net, &bad, NULL, 0, 10, &usual, &progress) == FBP_OK, "no rows");
    CHECK(fbp_predict(net, &bad.x, 0, NULL, NULL, real, NULL) == FBP_OK, "no rows to predict for");
    bad = good, bad.x.n_cols = bad.x.ld = 0;
    CHECK(fbp_check_rows(&bad.x, real, FBP_ISA_REF, 1, NULL, NULL) == FBP_EINVAL, "no columns");
    fbp_net_retire(net);
    CHECK(fbp_predict_loss(net, &good, NULL, 10, NULL, NULL, out) == FBP_EINVAL, "retired");
    CHECK(fbp_net_set_layer(net, 0, t.w[0], t.b[0]) == FBP_EINVAL, "retired");
    CHECK(fbp_train(net, &good, NULL, 10, 10, &usual, &progress) == FBP_EINVAL, "retired");
    CHECK(fbp_predict(net, &good.x, 0, NULL, NULL, real, out) == FBP_EINVAL, "retired");
    fbp_net_destroy(net);

    p.solver = FBP_SOLVER_GRADIENT;
    net = net_of(&t, FBP_ISA_REF, 1, p.n_rows);
    fbp_net *predictor = net_of(&t, FBP_ISA_REF, 1, 0);
    double loss = 7, *grad = new_doubles(n_parameters(&p));
    CHECK(fbp_loss_gradient(NULL, &good, &usual, &loss, grad, NULL) == FBP_EINVAL, "no net");
    CHECK(fbp_loss_gradient(net, &good, NULL, &loss, grad, NULL) == FBP_EINVAL, "no step");
    CHECK(fbp_loss_gradient(predictor, &good, &usual, &loss, grad, NULL) == FBP_EINVAL,
          "no batches");
    CHECK(fbp_loss_gradient(net, NULL, &usual, &loss, grad, NULL) == FBP_EINVAL, "no data");
    bad = good, bad.x.n_rows = 0;
    CHECK(fbp_loss_gradient(net, &bad, &usual, &loss, grad, NULL) == FBP_EINVAL, "no rows");
    fbp_net_retire(net);
    CHECK(fbp_loss_gradient(net, &good, &usual, &loss, grad, NULL) == FBP_EINVAL, "retired");
    CHECK(loss == 7 && grad[0] == 0, "changed on failure");
    const fbp_model nothing = {.spec = {0}};
    CHECK(fbp_predict_rows(&nothing, &good.x, 0, out, real, out) == FBP_EINVAL, "no model");
    fbp_net_destroy(net), fbp_net_destroy(predictor);
    free(grad);
    samples_free(&s);
    trainer_free(&t);
}

int main(void)
{
    test_arena();
    test_specs();
    test_parameters();
    test_data(FBP_F32);
    test_data(FBP_F64);
    return check_done("refusals");
}
