/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Retired nets: what is left comes out as it was, what was given back is gone, and nothing else works
 * any more. In every family, type and precision, for split products in emulated tiles, too.
 */
#include "split_model.h"
#include "trainer.h"

#define KEPT 3 /* W and b, two moments */

/* Layer l's parameters (moment −1) or a moment, coef first. */
static fbp_status take_out(const problem *p, const fbp_net *net, int l, int moment, void *out)
{
    char *w = out, *b = w + (size_t)(p->units[l] * p->units[l + 1]) * real_bytes(p->real);
    return moment < 0 ? fbp_net_get_layer(net, l, w, b) : fbp_net_get_moment(net, l, moment, w, b);
}

static fbp_status retire(fbp_net *net, int l, int moment)
{
    return moment < 0 ? fbp_net_retire_layer(net, l) : fbp_net_retire_moment(net, l, moment);
}

static size_t layer_bytes(const problem *p, int l)
{
    return (size_t)((p->units[l] + 1) * p->units[l + 1]) * real_bytes(p->real);
}

/* How many bytes of the whole pages between two addresses are not zero. */
static int64_t held(const void *begin, const void *end)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    int64_t n = 0;
    const char *last = (const char *)((uintptr_t)end / page * page);
    for (const char *c = (const char *)(((uintptr_t)begin + page - 1) / page * page); c < last; c++)
        n += *c != 0;
    return n;
}

static int64_t held_of_piece(const fbp_net *net, fbp_piece piece)
{
    return held((const char *)net + piece.begin, (const char *)net + piece.end);
}

/* All that lies between what is kept of the layers. */
static int64_t held_of_rest(const fbp_net *net)
{
    int64_t n = 0;
    for (int l = 0; l < net->n_layers; l++) {
        const size_t end = l + 1 < net->n_layers ? net->layers[l + 1].kept[0].begin : net->bytes;
        for (int i = 0; i <= net->n_moments; i++)
            n += held_of_piece(
                net, (fbp_piece){net->layers[l].kept[i].end,
                                 i < net->n_moments ? net->layers[l].kept[i + 1].begin : end});
    }
    return n;
}

/* A retired net refuses all but what it still has. */
static void check_refusals(const problem *p, fbp_net *net, const fbp_data *data, void *out)
{
    fbp_progress progress;
    char *b = (char *)out + (size_t)(p->units[0] * p->units[1]) * real_bytes(p->real);
    CHECK(fbp_train(net, data, NULL, 2, 2, &p->step, &progress) == FBP_EINVAL, "train");
    CHECK(fbp_predict(net, &data->x, 0, NULL, NULL, p->real, out) == FBP_EINVAL, "predict");
    CHECK(fbp_net_set_layer(net, 0, out, b) == FBP_EINVAL, "set_layer");
    CHECK(fbp_net_set_moment(net, 0, 0, out, b) == FBP_EINVAL, "set_moment");
    CHECK(fbp_net_get_step_count(net) == 1, "step count");
    static const int layers[] = {-1, 3};
    for (int i = 0; i < 2; i++) {
        CHECK(fbp_net_retire_layer(net, layers[i]) == FBP_EINVAL, "layer %d", layers[i]);
        CHECK(fbp_net_retire_moment(net, layers[i], 0) == FBP_EINVAL, "layer %d", layers[i]);
    }
    CHECK(fbp_net_retire_moment(net, 0, -1) == FBP_EINVAL, "moment -1");
    CHECK(fbp_net_retire_moment(net, 0, net->n_moments) == FBP_EINVAL, "too high a moment");
}

/* Take everything out, one by one, in an order of its own for each call. */
static void check_taking(const problem *p, fbp_net *net, void *before[][KEPT], int first)
{
    const int n_kept = 1 + net->n_moments, n = p->n_layers * n_kept;
    for (int i = 0; i < n; i++) {
        const int place = (first + i) % n, l = place / n_kept, kept = place % n_kept;
        void *now = allocate(layer_bytes(p, l));
        CHECK(take_out(p, net, l, kept - 1, now) == FBP_OK &&
                  memcmp(now, before[l][kept], layer_bytes(p, l)) == 0,
              "layer %d, %d", l, kept);
        CHECK(retire(net, l, kept - 1) == FBP_OK, "retire");
#ifdef __linux__
        CHECK(held_of_piece(net, net->layers[l].kept[kept]) == 0, "layer %d, %d still held", l,
              kept);
#endif
        CHECK(retire(net, l, kept - 1) == FBP_EINVAL, "retired twice");
        CHECK(take_out(p, net, l, kept - 1, now) == FBP_EINVAL, "given twice");
        free(now);
    }
}

static void test_retirement(const problem *p, int isa, int first)
{
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    fbp_net *net = net_of(&t, isa, 2, 2);
    fbp_progress progress;
    void *before[MOST_LAYERS][KEPT];
    CHECK(fbp_train(net, &data, NULL, 2, 2, &p->step, &progress) == FBP_OK, "train");
    for (int l = 0; l < p->n_layers; l++)
        for (int kept = 0; kept < 1 + net->n_moments; kept++) {
            before[l][kept] = allocate(layer_bytes(p, l));
            CHECK(take_out(p, net, l, kept - 1, before[l][kept]) == FBP_OK, "get");
            CHECK(retire(net, l, kept - 1) == FBP_EINVAL, "not retired yet");
            if (l < 2)
                CHECK(held_of_piece(net, net->layers[l].kept[kept]) > 0, "layer %d, %d", l, kept);
        }
    CHECK(held_of_rest(net) > 0, "nothing but parameters and moments");
    CHECK(fbp_net_retire(net) == FBP_OK && fbp_net_retire(net) == FBP_OK, "retire");
#ifdef __linux__
    CHECK(held_of_rest(net) == 0, "%lld bytes still held", (long long)held_of_rest(net));
#endif
    void *out = allocate(layer_bytes(p, 0));
    check_refusals(p, net, &data, out);
    free(out);
    check_taking(p, net, before, first);
    for (int l = 0; l < p->n_layers; l++)
        for (int kept = 0; kept < 1 + net->n_moments; kept++)
            free(before[l][kept]);
    fbp_net_destroy(net);
    samples_free(&s);
    trainer_free(&t);
}

/* A net that only predicts has parameters, no moments; one with gradients has no moments either. */
static void test_without_moments(void)
{
    problem p = {.n_layers = 2,
                 .real = FBP_F32,
                 .solver = FBP_SOLVER_ADAM,
                 .units = {200, 100, 1},
                 .n_rows = 3};
    trainer t = trainer_new(&p);
    samples s = samples_new(&p);
    const fbp_data data = data_of(&p, &s);
    float w[20000], b[100], grad[20301];
    double loss;
    fbp_net *net = net_of(&t, FBP_ISA_REF, 1, 0);
    CHECK(fbp_net_retire(net) == FBP_OK, "retire");
    CHECK(fbp_net_retire_moment(net, 0, 0) == FBP_EINVAL, "no moment");
    CHECK(fbp_net_get_layer(net, 0, w, b) == FBP_OK && w[19999] == (float)t.w[0][19999], "layer 0");
    CHECK(fbp_net_get_layer(net, 1, w, b) == FBP_OK && w[99] == (float)t.w[1][99], "layer 1");
    CHECK(fbp_net_retire_layer(net, 0) == FBP_OK, "retire layer 0");
    CHECK(fbp_net_get_layer(net, 1, w, b) == FBP_OK && w[99] == (float)t.w[1][99], "layer 1 again");
    fbp_net_destroy(net);
    p.solver = FBP_SOLVER_GRADIENT;
    net = net_of(&t, FBP_ISA_REF, 1, 3);
    CHECK(fbp_loss_gradient(net, &data, &p.step, &loss, grad, NULL) == FBP_OK, "gradient");
    CHECK(fbp_net_retire(net) == FBP_OK, "retire");
    CHECK(fbp_loss_gradient(net, &data, &p.step, &loss, grad, NULL) == FBP_EINVAL, "retired");
    CHECK(fbp_net_retire_moment(net, 0, 0) == FBP_EINVAL, "its gradient is no moment");
    fbp_net_destroy(net);
    CHECK(fbp_net_retire(NULL) == FBP_EINVAL, "no net");
    CHECK(fbp_net_retire_layer(NULL, 0) == FBP_EINVAL, "no net");
    CHECK(fbp_net_retire_moment(NULL, 0, 0) == FBP_EINVAL, "no net");
    samples_free(&s);
    trainer_free(&t);
}

int main(void)
{
    split_family families[FBP_N_ISAS * FBP_N_PRECISIONS];
    const int n_families = split_families(families); /* started, so that they can be emulated */
    static const int solvers[] = {FBP_SOLVER_ADAM, FBP_SOLVER_SGD, FBP_SOLVER_NESTEROV};
    int n = 0;
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int real = FBP_F32; real <= FBP_F64 && fbp_isa_available(isa); real++)
            for (int precision = 0; precision < FBP_N_PRECISIONS; precision++, n++) {
                const problem p = {.n_layers = 3,
                                   .activation = FBP_ACT_TANH,
                                   .loss = FBP_LOSS_SQUARED_ERROR,
                                   .solver = solvers[n % 3],
                                   .real = real,
                                   .precision = precision,
                                   .units = {90, 200, 180, n % 2 ? 1 : 3},
                                   .n_rows = 2,
                                   .step = {.learning_rate = 0.01,
                                            .momentum = 0.9,
                                            .beta_1 = 0.9,
                                            .beta_2 = 0.999,
                                            .epsilon = 1e-8}};
                if (fbp_kernels_find(isa, real)) test_retirement(&p, isa, 5 * n);
            }
    test_without_moments();
    check_emulation(n_families);
    return check_done("split retire");
}
