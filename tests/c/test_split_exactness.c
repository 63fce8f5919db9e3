/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How exact split products are, in the Frobenius norm and against long double: three parts no worse
 * than float32's fused multiply-adds, over shapes and over magnitudes that are large, small, mixed, or
 * cancel; two and one part within what their operands' bits allow. And what is not finite stays so.
 *
 * Errors are pooled over draws and shapes: where single terms dominate a sum (mixed), either kind of
 * product mostly rounds once, and in one draw the one or the other is luckier.
 */
#include "split_model.h"

typedef enum { NORMAL, LARGE, SMALL, MIXED, CANCELLING, SKEWED, N_KINDS } magnitude;

static const char *const kind_names[] = {"normal", "large",      "small",
                                         "mixed",  "cancelling", "skewed"};

static float draw(magnitude kind, int left)
{
    const double value = random_between(-1, 1);
    switch (kind) {
    case LARGE:
        return (float)(value * 1e17);
    case SMALL:
        return (float)(value * 1e-15); /* products of 1e-30; see test_limits */
    case MIXED:
        return (float)(value * exp2(random_between(-24, 24)));
    case SKEWED: /* what a layer has: activations of one sign, sparse, and small weights */
        return (float)(left ? fmax(0, value) : value * 0.05);
    default:
        return (float)value;
    }
}

/* x [rows × k] and y [k × n]; cancelling: the second half of k takes back all but a little. */
static void fill(magnitude kind, int64_t rows, int64_t n, int64_t k, float *x, float *y)
{
    for (int64_t i = 0; i < rows * k; i++)
        x[i] = draw(kind, 1);
    for (int64_t i = 0; i < k * n; i++)
        y[i] = draw(kind, 0);
    for (int64_t j = 0; kind == CANCELLING && j < k / 2; j++) {
        for (int64_t r = 0; r < rows; r++)
            x[r * k + k / 2 + j] = x[r * k + j];
        for (int64_t c = 0; c < n; c++)
            y[(k / 2 + j) * n + c] = (float)(-y[j * n + c] * (1 + random_between(-1, 1) * 1e-4));
    }
}

static void plain_product(const fbp_kernels *k, int64_t rows, int64_t n, int64_t depth,
                          const float *x, const float *y, panels *out)
{
    panels in = panels_of(k, rows, depth, x, rows);
    buffer w = buffer_new(FBP_F32, depth * fbp_round_up(n, k->lanes));
    buffer bias = buffer_new(FBP_F32, fbp_round_up(n, k->lanes));
    memset(w.data, 0, sizeof(float) * (size_t)w.n);
    memset(bias.data, 0, sizeof(float) * (size_t)bias.n);
    k->pack(depth, n, 0, depth, y, w.data, NULL);
    k->forward[FBP_ACT_IDENTITY](rows, n, depth, in.b.data, in.stride, w.data, bias.data,
                                 out->b.data, out->stride);
    buffer_free(&in.b), buffer_free(&w), buffer_free(&bias);
}

static void split_product(const split_family *f, int64_t rows, int64_t n, int64_t depth,
                          const float *x, const float *y, panels *out)
{
    buffer a = tiles_new(f->parts, 0, rows, depth, x, depth, 1);
    buffer b = tiles_new(f->parts, 1, n, depth, y, 1, n);
    buffer bias = buffer_new(FBP_F32, fbp_round_up(n, f->base->lanes));
    memset(bias.data, 0, sizeof(float) * (size_t)bias.n);
    const fbp_split_product product = {.parts = f->parts,
                                       .rows = rows,
                                       .n = n,
                                       .k = depth,
                                       .a = a.data,
                                       .b = b.data,
                                       .operand = bias.data,
                                       .out = out->b.data,
                                       .stride = out->stride};
    if (f->table->enter) f->table->enter();
    f->table->forward[FBP_ACT_IDENTITY](&product);
    if (f->table->leave) f->table->leave();
    buffer_free(&a), buffer_free(&b), buffer_free(&bias);
}

/* ‖out − exact‖ / ‖|x|·|y|‖ */
static double error_of(const panels *out, const exact *expected, const exact *sizes)
{
    exact error = 0, size = 0;
    for (int64_t r = 0; r < out->rows; r++)
        for (int64_t c = 0; c < out->cols; c++) {
            const int64_t at = r * out->cols + c;
            const exact e = (exact)((float *)out->b.data)[panels_at(out, r, c)] - expected[at];
            error += e * e;
            size += sizes[at] * sizes[at];
        }
    return (double)sqrtl(error / size);
}

/* Mean squares over the draws of one kind. */
typedef struct {
    double split, plain;
} pooled;

static void test_shape(const split_family *f, magnitude kind, int64_t rows, int64_t n, int64_t k,
                       pooled *errors)
{
    /* Two parts leave 2⁻¹⁷ of an operand, one part 2⁻⁹, and the other operand as much. */
    static const double bounds[] = {0, 0x1p-8, 0x1p-15, 0};
    float *x = floats_random(rows * k), *y = floats_random(k * n);
    exact *expected = malloc(sizeof(exact) * (size_t)(rows * n));
    exact *sizes = malloc(sizeof(exact) * (size_t)(rows * n));
    fill(kind, rows, n, k, x, y);
    for (int64_t at = 0; at < rows * n; at++) {
        expected[at] = sizes[at] = 0;
        for (int64_t i = 0; i < k; i++) {
            const exact term = (exact)x[at / n * k + i] * (exact)y[i * n + at % n];
            expected[at] += term, sizes[at] += fabsl(term);
        }
    }
    panels plain = panels_new(f->base, FBP_F32, rows, n),
           split = panels_new(f->base, FBP_F32, rows, n);
    plain_product(f->base, rows, n, k, x, y, &plain);
    split_product(f, rows, n, k, x, y, &split);
    const double fma_error = error_of(&plain, expected, sizes);
    const double error = error_of(&split, expected, sizes);
    CHECK(error <= (f->parts == FBP_MAX_PARTS ? 1.5 * fma_error : bounds[f->parts]),
          "%s, %d parts, %s, %lld x %lld x %lld: error %.3g, fused multiply-add %.3g",
          fbp_isa_name(f->isa), f->parts, kind_names[kind], (long long)rows, (long long)n,
          (long long)k, error, fma_error);
    errors->split += error * error;
    errors->plain += fma_error * fma_error;
    buffer_free(&plain.b), buffer_free(&split.b);
    free(x), free(y), free(expected), free(sizes);
}

/* One number times one: what is not finite, or so small that parts vanish. */
static float times(const split_family *f, float x, float y)
{
    float row[16] = {x};
    panels out = panels_new(f->base, FBP_F32, 16, 1);
    split_product(f, 16, 1, 1, row, &y, &out);
    const float result = ((const float *)out.b.data)[0];
    buffer_free(&out.b);
    return result;
}

static void test_limits(const split_family *f)
{
    const float specials[] = {INFINITY, -INFINITY, NAN};
    for (int i = 0; i < 3; i++) {
        CHECK(!isfinite(times(f, specials[i], 1.5f)), "%d parts: a lost infinity", f->parts);
        CHECK(!isfinite(times(f, 1.5f, specials[i])), "%d parts: a lost infinity", f->parts);
    }
    CHECK(!isfinite(times(f, 3e38f, 3e38f)), "%d parts: an overflow is lost", f->parts);
    CHECK(!isfinite(times(f, 3.4028e38f, 1)), "%d parts: beyond the largest bfloat16", f->parts);
    CHECK(times(f, 3.3e38f, 0.5f) > 1.6e38f, "%d parts: below the largest bfloat16", f->parts);
    CHECK(times(f, 1e-30f, 1e-30f) == 0, "%d parts: a subnormal result", f->parts);
    /* Subnormal products of parts are dropped: an absolute error, 2⁻¹²⁴ at most for each of k. */
    for (double size = 1e-30; size > 1e-37; size /= 10) {
        const float x = (float)(random_between(1, 2) * sqrt(size));
        const double error = fabs((double)times(f, x, x) - (double)x * (double)x);
        static const double relative[] = {0, 0x1p-7, 0x1p-15, 0x1p-23};
        CHECK(error <= relative[f->parts] * (double)x * (double)x + 0x1p-124,
              "%d parts: %g squared is off by %g", f->parts, (double)x, error);
    }
}

static void test_family(const split_family *f)
{
    static const int64_t shapes[][3] = {{16, 16, 32},   {32, 48, 64},  {48, 33, 100},
                                        {64, 96, 256},  {32, 32, 784}, {16, 64, 2048},
                                        {112, 128, 128}};
    for (int kind = 0; kind < N_KINDS; kind++) {
        pooled errors = {0, 0};
        for (int draws = 0; draws < (fewer_cases() ? 2 : 4); draws++)
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
                test_shape(f, (magnitude)kind, shapes[i][0], shapes[i][1], shapes[i][2], &errors);
        const double ratio = sqrt(errors.split / errors.plain);
        CHECK(f->parts < FBP_MAX_PARTS || ratio <= 1,
              "%s, %s: %.3f times the error of multiply-adds", fbp_isa_name(f->isa),
              kind_names[kind], ratio);
        if (f->parts == FBP_MAX_PARTS)
            printf("%s, %s: %.2f times the error of multiply-adds\n", fbp_isa_name(f->isa),
                   kind_names[kind], ratio);
    }
    test_limits(f);
}

int main(void)
{
    every_split_family(test_family);
    return check_done("split exactness");
}
