/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of a family whose split products turn out not to work when a net first asks for them:
 * it is gone for the process, other families are not, and a net that has no use for them never asks.
 * Each case is a process of its own.
 */
#include <sys/wait.h>

#include "split_model.h"

static fbp_status create(int isa, int precision, int real, int64_t width)
{
    const int64_t units[] = {width, width};
    const fbp_spec spec = {.n_layers = 1,
                           .units = units,
                           .solver = FBP_SOLVER_ADAM,
                           .real = real,
                           .precision = precision,
                           .isa = isa,
                           .n_threads = 1,
                           .max_rows = 10};
    fbp_net *net;
    const fbp_status status = fbp_net_create(&spec, &net);
    fbp_net_destroy(net);
    return status;
}

/* Every family that is there: split or not, it makes nets of any type, precision and width. */
static void test_as_it_is(void)
{
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int precision = 0; precision < FBP_N_PRECISIONS; precision++)
            for (int real = FBP_F32; real <= FBP_F64; real++)
                for (int64_t width = 1; width <= 128; width *= 128) {
                    const fbp_status expected = fbp_isa_available(isa) ? FBP_OK : FBP_EISA;
                    CHECK(create(isa, precision, real, width) == expected, "%s %s",
                          fbp_isa_name(isa), fbp_precision_name(precision));
                }
    for (int precision = 0; precision < FBP_N_PRECISIONS; precision++) {
        const int best = fbp_isa_best(FBP_F32, precision),
                  exact_best = fbp_isa_best(FBP_F64, precision);
        CHECK(fbp_isa_available(best), "the best family is there");
        CHECK(!fbp_split_find(exact_best, FBP_F32, precision), "float64 has a plain family");
    }
}

/* What is split: layers of some size, in both directions, and no sparse rows. Who would read W where it
 * lies is told so. */
static void test_what_is_split(int isa, int precision)
{
    int64_t units[] = {128, 128};
    const int parts = fbp_parts(precision);
    fbp_spec spec = {.n_layers = 1,
                     .units = units,
                     .real = FBP_F32,
                     .precision = precision,
                     .isa = isa,
                     .n_threads = 1};
    CHECK(fbp_spec_splits(&spec), "%s, %d parts: 128 x 128", fbp_isa_name(isa), parts);
    const void *nothing[1] = {NULL};
    const fbp_model model = {.spec = spec, .coefs = nothing, .intercepts = nothing};
    float x[128] = {0}, out[128];
    const fbp_matrix m = {.n_rows = 1, .n_cols = 128, .real = FBP_F32, .data = x, .ld = 128};
    CHECK(fbp_predict_rows_bytes(&model) == 0, "no scratch");
    CHECK(fbp_predict_rows(&model, &m, 0, out, FBP_F32, out) == FBP_EINVAL, "not by rows");
    spec.max_row_nonzeros = 1;
    CHECK(!fbp_spec_splits(&spec), "sparse rows");
    spec.max_row_nonzeros = 0, units[0] = 23;
    CHECK(!fbp_spec_splits(&spec), "23 inputs");
    units[0] = units[1] = 24;
    CHECK(fbp_spec_splits(&spec) == (parts == 1), "%s, %d parts: 24 x 24", fbp_isa_name(isa),
          parts);
    spec.n_layers = 0;
    CHECK(!fbp_spec_splits(&spec), "no layers");
}

#ifdef EMULATED
static void test_failing(amx_behaviour behaviour)
{
    amx_emulated = behaviour;
    const int absent = behaviour == AMX_ABSENT;
    const int amx = FBP_ISA_AMX, best = fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST);
    CHECK(fbp_isa_available(amx) == !absent, "before it is asked");
    CHECK(absent ? best != amx : best == amx, "the best, before it is asked");
    if (!absent) {
        CHECK(create(amx, FBP_PRECISION_HIGHEST, FBP_F64, 128) == FBP_OK,
              "float64 asks for nothing");
        CHECK(create(amx, FBP_PRECISION_HIGHEST, FBP_F32, 8) == FBP_OK,
              "thin layers ask for nothing");
        CHECK(fbp_isa_available(amx), "still not asked");
    }
    for (int again = 0; again < 2; again++)
        CHECK(create(amx, FBP_PRECISION_HIGHEST, FBP_F32, 128) == FBP_EISA,
              "it is asked, and fails");
    CHECK(!fbp_isa_available(amx), "afterwards");
    CHECK(!fbp_split_find(amx, FBP_F32, FBP_PRECISION_HIGHEST), "afterwards");
    CHECK(fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST) != amx, "the best, afterwards");
    CHECK(amx_configured() == 0, "tiles are released");
    test_as_it_is();
}
#endif

int main(void)
{
#ifdef EMULATED
    const int present =
        fbp_isa_available(FBP_ISA_AVX512BF16); /* which splits the numbers for tiles */
    for (amx_behaviour behaviour = AMX_ABSENT; present && behaviour <= AMX_ERRS; behaviour++) {
        const pid_t child = fork();
        int status = -1;
        if (child == 0) {
            test_failing(behaviour);
            exit(check_done("a failing family"));
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0, "behaviour %d",
              (int)behaviour);
    }
#endif
    test_as_it_is();
    split_family families[FBP_N_ISAS * FBP_N_PRECISIONS];
    const int n_families = split_families(families);
    check_emulation(n_families);
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int precision = 0; precision < FBP_N_PRECISIONS; precision++)
            if (fbp_split_find(isa, FBP_F32, precision)) test_what_is_split(isa, precision);
    return check_done("split start");
}
