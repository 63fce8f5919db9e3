/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a table holds only numbers that a net can take: one wrong number, wherever it is, for every
 * family, both types of X and of the net, any number of threads, and rows that lie apart.
 */
#include "check.h"

typedef struct {
    int64_t rows, columns, gap; /* gap: numbers between two rows, which nobody may look at */
} shape;

static double largest_of(int real)
{
    return real == FBP_F32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
}

/* The answer with one number in place of another; all is well but for it. */
static fbp_status with(buffer *x, const fbp_matrix *m, int real, int isa, int n_threads, int64_t i,
                       double value)
{
    put(x, i, value);
    const fbp_status status = fbp_check_rows(m, real, isa, n_threads, NULL, NULL);
    put(x, i, 1);
    return status;
}

static void test_table(int isa, int x_real, int real, shape s)
{
    const int64_t ld = s.columns + s.gap, n = s.rows > 0 ? (s.rows - 1) * ld + s.columns : 0;
    buffer x = buffer_new(x_real, n);
    const fbp_matrix m = {
        .n_rows = s.rows, .n_cols = s.columns, .real = x_real, .data = x.data, .ld = ld};
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t c = 0; c < s.columns; c++)
            put(&x, r * ld + c, 1);
    const int narrowed = x_real == FBP_F64 && real == FBP_F32;
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        CHECK(fbp_check_rows(&m, real, isa, n_threads, NULL, NULL) == FBP_OK, "%s refuses ones",
              fbp_isa_name(isa));
        for (int i = 0; i < 20 && n > 0; i++) {
            const int64_t row = i < 2 ? i * (s.rows - 1) : random_below(s.rows);
            const int64_t column = i < 2 ? i * (s.columns - 1) : random_below(s.columns);
            const int64_t at = row * ld + column;
            const double sign = i % 2 ? 1 : -1;
            CHECK(with(&x, &m, real, isa, n_threads, at, NAN) == FBP_ENONFINITE, "NaN");
            CHECK(with(&x, &m, real, isa, n_threads, at, sign * INFINITY) == FBP_ENONFINITE,
                  "infinity");
            CHECK(with(&x, &m, real, isa, n_threads, at, sign * 1e39) ==
                      (narrowed || x_real == FBP_F32 ? FBP_ENONFINITE : FBP_OK),
                  "beyond float32");
            CHECK(with(&x, &m, real, isa, n_threads, at,
                       sign * largest_of(narrowed ? FBP_F32 : x_real)) == FBP_OK,
                  "the largest number");
        }
    }
    buffer_free(&x);
}

static void test_arguments(void)
{
    const double one = 1;
    const int32_t pointers[2] = {0, 1}, index = 0;
    const fbp_matrix m = {.n_rows = 1, .n_cols = 1, .real = FBP_F64, .data = &one, .ld = 1};
    const fbp_matrix sparse = {.n_rows = 1,
                               .n_cols = 1,
                               .real = FBP_F64,
                               .data = &one,
                               .index_bits = 32,
                               .indptr = pointers,
                               .indices = &index};
    fbp_matrix narrow = m, nothing = m;
    narrow.ld = 0;
    nothing.data = NULL;
    CHECK(fbp_check_rows(&m, FBP_F32, FBP_ISA_REF, 1, NULL, NULL) == FBP_OK, "one number");
    CHECK(fbp_check_rows(NULL, FBP_F32, FBP_ISA_REF, 1, NULL, NULL) == FBP_EINVAL, "no matrix");
    CHECK(fbp_check_rows(&sparse, FBP_F32, FBP_ISA_REF, 1, NULL, NULL) == FBP_EINVAL, "sparse");
    CHECK(fbp_check_rows(&narrow, FBP_F32, FBP_ISA_REF, 1, NULL, NULL) == FBP_EINVAL,
          "rows that overlap");
    CHECK(fbp_check_rows(&nothing, FBP_F32, FBP_ISA_REF, 1, NULL, NULL) == FBP_EINVAL, "no data");
    CHECK(fbp_check_rows(&m, 7, FBP_ISA_REF, 1, NULL, NULL) == FBP_EINVAL, "no such type");
    CHECK(fbp_check_rows(&m, FBP_F32, FBP_ISA_REF, 0, NULL, NULL) == FBP_EINVAL, "no threads");
    CHECK(fbp_check_rows(&m, FBP_F32, FBP_N_ISAS, 1, NULL, NULL) == FBP_EISA, "no such family");
}

int main(void)
{
    const shape shapes[] = {{0, 3, 0}, {1, 1, 0},    {7, 5, 0},
                            {7, 5, 2}, {40, 100, 0}, {3, 70000, 1}};
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int pair = 0; pair < 4 && fbp_isa_available(isa); pair++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                test_table(isa, pair / 2, pair % 2, shapes[s]);
    /* So large that threads share it. */
    test_table(fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST), FBP_F64, FBP_F32,
               (shape){3000, 500, 0});
    test_arguments();
    return check_done("check");
}
