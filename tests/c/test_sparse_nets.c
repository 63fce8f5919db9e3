/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nets for sparse X, trained and asked through the public header: the bits of nets for dense X, in
 * every family, for any number of threads; and what they refuse.
 *
 * Rests on: training with dense X (test_training).
 */
#include "trainer.h"

/* A problem's samples with four in five values of X zeros, and X as CSR, its columns falling, with
 * indices of 64 or of 32 bits. */
typedef struct {
    samples dense;
    int64_t *indices, *indptr, most;
    int32_t *short_indices, *short_indptr;
    void *values;
    fbp_data data, csr;
} sparse_samples;

static sparse_samples sparse_samples_new(const problem *p, int index_bits)
{
    sparse_samples s = {.dense = samples_new(p)};
    const int64_t n_in = p->units[0], n = p->n_rows * n_in;
    double *kept = new_doubles(n);
    s.indices = allocate(sizeof(int64_t) * (size_t)n);
    s.indptr = allocate(sizeof(int64_t) * (size_t)(p->n_rows + 1));
    int64_t at = 0;
    for (int64_t r = 0; r < p->n_rows; r++) {
        for (int64_t c = n_in; c-- > 0;) {
            double *x = &s.dense.x[r * n_in + c];
            if (random_below(5) != 0) *x = 0;
            if (*x == 0) continue;
            kept[at] = *x;
            s.indices[at++] = c;
        }
        s.indptr[r + 1] = at;
        s.most = at - s.indptr[r] > s.most ? at - s.indptr[r] : s.most;
    }
    free(s.dense.x_real);
    s.dense.x_real = as_reals(p->real, s.dense.x, n);
    s.values = as_reals(p->real, kept, n);
    free(kept);
    s.data = s.csr = data_of(p, &s.dense);
    s.csr.x = (fbp_matrix){p->n_rows, n_in, p->real, 64, s.values, 0, s.indices, s.indptr};
    s.short_indices = allocate(sizeof(int32_t) * (size_t)n);
    s.short_indptr = allocate(sizeof(int32_t) * (size_t)(p->n_rows + 1));
    for (int64_t i = 0; i < at; i++)
        s.short_indices[i] = (int32_t)s.indices[i];
    for (int64_t r = 0; r <= p->n_rows; r++)
        s.short_indptr[r] = (int32_t)s.indptr[r];
    if (index_bits == 32)
        s.csr.x.index_bits = 32, s.csr.x.indices = s.short_indices, s.csr.x.indptr = s.short_indptr;
    return s;
}

static void sparse_samples_free(sparse_samples *s)
{
    free(s->indices), free(s->indptr), free(s->values);
    free(s->short_indices), free(s->short_indptr);
    samples_free(&s->dense);
}

/* Weights, losses and predictions of nets for sparse X: the bits of those for dense X. With shorter
 * indices, rows are trained in an order. */
static void test_net(problem p, int64_t batch_rows, int index_bits)
{
    trainer t = trainer_new(&p);
    sparse_samples s = sparse_samples_new(&p, index_bits);
    int64_t *falling = allocate(sizeof(int64_t) * (size_t)p.n_rows);
    const int64_t *order = index_bits == 32 ? falling : NULL;
    for (int64_t r = 0; r < p.n_rows; r++)
        falling[r] = p.n_rows - 1 - r;
    const int64_t n_out = p.n_rows * p.units[p.n_layers];
    const size_t bytes = (size_t)n_parameters(&p) * real_bytes(p.real),
                 out_bytes = (size_t)n_out * real_bytes(p.real);
    void *weights[2] = {allocate(bytes), allocate(bytes)};
    void *out[2] = {allocate(out_bytes), allocate(out_bytes)};
    double *losses[2] = {new_doubles(p.n_rows), new_doubles(p.n_rows)};
    fbp_progress progress[2];
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int threads = 0; fbp_isa_available(isa) && threads <= 4;
             threads += threads > 0 && fewer_cases() ? 2 : 1) {
            const int sparse = threads > 0;
            t.nonzeros = sparse ? s.most : 0;
            fbp_net *net = net_of(&t, isa, sparse ? threads : 2, batch_rows);
            const fbp_data *data = sparse ? &s.csr : &s.data;
            for (int epoch = 0; epoch < 2; epoch++)
                CHECK(fbp_train(net, data, order, p.n_rows, batch_rows, &p.step,
                                &progress[sparse]) == FBP_OK,
                      "train");
            CHECK(fbp_predict(net, &data->x, 0, NULL, NULL, p.real, out[sparse]) == FBP_OK,
                  "predict");
            check_order(&p, net, &data->x, out[sparse]);
            CHECK(fbp_predict_loss(net, data, NULL, p.n_rows, NULL, NULL, losses[sparse]) == FBP_OK,
                  "losses");
            net_parameters(&p, net, weights[sparse]);
            fbp_net_destroy(net);
            if (!sparse) continue;
            CHECK(memcmp(weights[0], weights[1], bytes) == 0 &&
                      memcmp(out[0], out[1], out_bytes) == 0 &&
                      memcmp(losses[0], losses[1], sizeof(double) * (size_t)p.n_rows) == 0 &&
                      memcmp(&progress[0], &progress[1], sizeof progress[0]) == 0,
                  "%s %s, %d layers, %d threads: not the bits of dense X", fbp_isa_name(isa),
                  real_name(p.real), p.n_layers, threads);
        }
    free(weights[0]), free(weights[1]), free(out[0]), free(out[1]), free(losses[0]);
    free(losses[1]), free(falling);
    sparse_samples_free(&s);
    trainer_free(&t);
}

/* What a net for sparse X refuses, its weights unchanged. */
static void test_refusals(problem p)
{
    trainer t = trainer_new(&p);
    sparse_samples s = sparse_samples_new(&p, 64);
    const size_t bytes = (size_t)n_parameters(&p) * real_bytes(p.real);
    void *before = allocate(bytes), *after = allocate(bytes);
    double *out = new_doubles(p.n_rows * p.units[p.n_layers]);
    fbp_progress progress;
    t.nonzeros = s.most;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 10);
    net_parameters(&p, net, before);
    CHECK(fbp_train(net, &s.data, NULL, 10, 10, &p.step, &progress) == FBP_EINVAL, "dense X");
    CHECK(fbp_predict(net, &s.data.x, 0, NULL, NULL, FBP_F64, out) == FBP_EINVAL, "dense X");
    CHECK(fbp_predict_loss(net, &s.data, NULL, 10, NULL, NULL, out) == FBP_EINVAL, "dense X");
    CHECK(fbp_predict(net, &s.csr.x, FBP_PREDICT_STRICT, NULL, NULL, FBP_F64, out) == FBP_EINVAL,
          "strict CSR");
    fbp_matrix nothing = s.csr.x;
    nothing.n_rows = 0;
    CHECK(fbp_predict(net, &nothing, 0, NULL, NULL, FBP_F64, out) == FBP_OK, "no rows");
    fbp_net_destroy(net);

    t.nonzeros = s.most - 1; /* per row, and that times the rows in a batch */
    net = net_of(&t, FBP_ISA_REF, 1, 1);
    int64_t fullest = 0;
    while (s.indptr[fullest + 1] - s.indptr[fullest] < s.most)
        fullest++;
    CHECK(fbp_train(net, &s.csr, &fullest, 1, 1, &p.step, &progress) == FBP_ENONZEROS, "batch");
    CHECK(fbp_predict(net, &s.csr.x, 0, NULL, NULL, FBP_F64, out) == FBP_ENONZEROS, "row");
    CHECK(fbp_predict_loss(net, &s.csr, NULL, 10, NULL, NULL, out) == FBP_ENONZEROS, "row");
    net_parameters(&p, net, after);
    CHECK(memcmp(before, after, bytes) == 0, "weights unchanged");
    s.indices[s.indptr[1]] = p.units[0];
    CHECK(fbp_train(net, &s.csr, NULL, 1, 1, &p.step, &progress) == FBP_EINVAL, "column too large");
    fbp_net_destroy(net);
    s.indices[s.indptr[1]] = 0;

    p.solver = FBP_SOLVER_GRADIENT;
    t.nonzeros = 1;
    net = net_of(&t, FBP_ISA_REF, 1, p.n_rows);
    CHECK(fbp_loss_gradient(net, &s.csr, &p.step, out, after, NULL) == FBP_ENONZEROS, "gradient");
    fbp_net_destroy(net);
    free(before), free(after), free(out);
    sparse_samples_free(&s);
    trainer_free(&t);
}

static void test_nets(int real)
{
    static const int64_t shapes[][MOST_LAYERS + 1] = {{70, 20, 3}, {33, 1}, {90, 7, 2, 1}, {40, 3}};
    static const int depths[] = {2, 1, 3, 1};
    for (int i = 0; i < 4 * (FBP_N_SOLVERS - 1); i++) {
        problem p = {.n_layers = depths[i % 4],
                     .activation = i % FBP_N_ACTIVATIONS,
                     .loss = i % 2 ? FBP_LOSS_SQUARED_ERROR : FBP_LOSS_POISSON,
                     .solver = FBP_SOLVER_GRADIENT + 1 + i / 4,
                     .real = real,
                     .weighted = i % 3 == 0,
                     .n_rows = 77,
                     .step = usual,
                     .dropout = {i == 0 || i % 4 == 2 ? 0.4 : 0}};
        memcpy(p.units, shapes[i % 4], sizeof p.units);
        if (i % 3 == 1) p.step.max_grad_norm = 0.1;
        if (i % 3 != 0) p.step.weight_decay = 0.2;
        test_net(p, 1 + 13 * i % 77, i % 2 ? 32 : 64);
        if (i == 0) test_refusals(p);
        if (i > 1) continue;
        p.n_rows = 4300; /* two chunks */
        p.units[0] = 9;
        test_net(p, 4200, 32);
    }
}

/* Rows so full that a block of them is more than a thread predicts at once; and one output, whose solver
 * keeps no state. */
static void test_full_rows(void)
{
    problem p = {.n_layers = 1,
                 .loss = FBP_LOSS_SQUARED_ERROR,
                 .solver = FBP_SOLVER_PLAIN_SGD,
                 .real = FBP_F32,
                 .n_rows = 130,
                 .units = {1600, 1},
                 .step = usual};
    p.step.learning_rate = 1e-4;
    test_net(p, 50, 64);
}

int main(void)
{
    test_full_rows();
    test_nets(FBP_F32);
    test_nets(FBP_F64);
    return check_done("sparse nets");
}
