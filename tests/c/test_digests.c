/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A digest of what small nets have learnt, for the same bits on every machine: all fused families give
 * one, each other family its own. With --print, they are printed, to be compared with another
 * machine's.
 */
#include "trainer.h"

#define EPOCHS 2

/* FNV-1a */
static uint64_t digest_of(const void *data, size_t bytes, uint64_t digest)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        digest = (digest ^ p[i]) * UINT64_C(0x100000001b3);
    return digest;
}

/* Of all parameters and the last epoch's loss. */
static uint64_t train(const problem *p, const trainer *t, const fbp_data *data, int isa)
{
    const size_t bytes = (size_t)n_parameters(p) * real_bytes(p->real);
    void *weights = allocate(bytes);
    fbp_progress progress = {0};
    fbp_net *net = net_of(t, isa, 2, 32);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        CHECK(fbp_train(net, data, NULL, p->n_rows, 32, &p->step, &progress) == FBP_OK, "train");
    net_parameters(p, net, weights);
    uint64_t digest = digest_of(weights, bytes, UINT64_C(0xcbf29ce484222325));
    digest = digest_of(&progress.loss_sum, sizeof progress.loss_sum, digest);
    CHECK(isfinite(progress.loss_sum), "loss %g", progress.loss_sum);
    fbp_net_destroy(net);
    free(weights);
    return digest;
}

static void test_digests(const problem *p, int print)
{
    trainer t = trainer_new(p);
    samples s = samples_new(p);
    const fbp_data data = data_of(p, &s);
    char name[100];
    snprintf(name, sizeof name, "%s %s %s %s%s", real_name(p->real), fbp_loss_name(p->loss),
             fbp_activation_name(p->activation), fbp_solver_name(p->solver),
             p->step.label_smoothing > 0 ? " smoothed"
             : p->dropout[0] > 0         ? " dropout"
                                         : "");
    const uint64_t fused = train(p, &t, &data, FBP_ISA_REF);
    if (print) printf("%s fused %016llx\n", name, (unsigned long long)fused);
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        if (isa == FBP_ISA_REF || !fbp_isa_available(isa)) continue;
        const uint64_t digest = train(p, &t, &data, isa);
        if (fbp_isa_fused(isa, p->real))
            CHECK(digest == fused, "%s: %s differs from ref", name, fbp_isa_name(isa));
        else if (print)
            printf("%s %s %016llx\n", name, fbp_isa_name(isa), (unsigned long long)digest);
    }
    samples_free(&s);
    trainer_free(&t);
}

int main(int argc, char **argv)
{
    const int print = argc > 1 && strcmp(argv[1], "--print") == 0;
    if (print)
        printf("best family: %s\n", fbp_isa_name(fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST)));
    for (int real = FBP_F32; real <= FBP_F64; real++)
        for (int loss = 0; loss < FBP_N_LOSSES; loss++)
            for (int activation = 0; activation < FBP_N_ACTIVATIONS; activation++) {
                problem p = {.n_layers = 3,
                             .activation = activation,
                             .loss = loss,
                             .solver = FBP_SOLVER_SGD + (loss + activation) % 3,
                             .real = real,
                             .weighted = activation / 2 % 2,
                             .units = {13, 37, 18, 1 + 2 * (activation % 2)},
                             .n_rows = 75,
                             .step = usual};
                if (fbp_loss_takes_codes(loss)) p.units[3] = 4;
                test_digests(&p, print);
                p.step.label_smoothing = 0.1;
                if (loss_smooths(loss)) test_digests(&p, print);
            }
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        problem p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
        p.real = real, p.dropout[0] = 0.3;
        test_digests(&p, print);
    }
    return check_done("digests");
}
