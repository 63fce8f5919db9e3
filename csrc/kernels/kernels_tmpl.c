/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every kernel of one family and real type, and the table of them. Included once per composition in
 * isa/, after a vocabulary that defines real, vf, vm, VF_LANES, VF_FUSED, MR, NV and the vf_ operations,
 * words of random numbers (vw), and KERNEL(name), which makes a name unique.
 *
 * Kernels are pure functions over pointers and sizes. MR divides NR, 32 and FBP_CHUNK_ROWS.
 */

#include "macros_tmpl.c"
#include "math_tmpl.c"

#include "act_tmpl.c"
#include "pass_tmpl.c"

#include "gemm_tmpl.c"
#include "solver_tmpl.c"

#include "update_tmpl.c"

#include "norm_tmpl.c"
#include "column_tmpl.c"
#include "layout_tmpl.c"
#include "compact_tmpl.c"
#include "dropout_tmpl.c"
#include "loss_tmpl.c"
#include "softmax_tmpl.c"
#include "rows_tmpl.c"
#include "slopes_tmpl.c"
#include "sparse_tmpl.c"

/* A row of n values: as if its full panels' widths were rows of one panel, then the rest. */
static NOINLINE void activate_row(int64_t n, real *z, forward_pass *pass)
{
    pass(n / NR, NV, z);
    pass(1, fbp_ceil_div(n % NR, VF_LANES), z + n / NR * NR);
}

#define FBP_ACTIVATION(NAME, name, how)                     \
    static void KERNEL(activate_##name)(int64_t n, void *z) \
    {                                                       \
        activate_row(n, z, name##_forward_pass);            \
    }
#include "registry.def"

/* The products that end with a pass: one instance each. */

static NOINLINE void forward_then(int64_t rows, int64_t fan_out, int64_t fan_in, const real *a,
                                  int64_t a_stride, const real *w, const real *b, real *out,
                                  int64_t out_stride, forward_pass *pass)
{
    forward_product(rows, fan_out, fan_in, a, a_stride, w, b, out, out_stride, identity_forward,
                    pass);
}

static NOINLINE void forward_sparse_then(int64_t rows, int64_t fan_out, int64_t fan_in,
                                         const fbp_csr *x, const real *w, const real *b, real *out,
                                         int64_t out_stride, forward_pass *pass)
{
    forward_sparse_product(rows, fan_out, fan_in, x, w, b, out, out_stride, identity_forward, pass);
}

static NOINLINE void backward_then(int64_t rows, int64_t fan_in, int64_t fan_out, const real *delta,
                                   int64_t delta_stride, const real *wt, const real *a,
                                   int64_t stride, real *out, backward_pass *pass)
{
    backward_product(rows, fan_in, fan_out, delta, delta_stride, wt, a, stride, out,
                     identity_backward, pass);
}

static NOINLINE void backward_column_then(int64_t rows, int64_t fan_in, const real *delta,
                                          const real *w, const real *a, int64_t stride, real *out,
                                          backward_pass *pass)
{
    backward_column(rows, fan_in, delta, w, a, stride, out, identity_backward, pass);
}

/* Where an activation runs: in a product of its own, or in a pass of the common one. */
#define FORWARD_FUSED(name, product, ...) product##_product(__VA_ARGS__, name##_forward, NULL)
#define FORWARD_PASS(name, product, ...) product##_then(__VA_ARGS__, name##_forward_pass)
#define FORWARD_STORED(name, product, ...) product##_then(__VA_ARGS__, name##_forward_pass)

#define FBP_ACTIVATION(NAME, name, how)                                                          \
    static void KERNEL(forward_##name)(int64_t rows, int64_t fan_out, int64_t fan_in,            \
                                       const void *a, int64_t a_stride, const void *w,           \
                                       const void *b, void *out, int64_t out_stride)             \
    {                                                                                            \
        FORWARD_##how(name, forward, rows, fan_out, fan_in, a, a_stride, w, b, out, out_stride); \
    }                                                                                            \
    static void KERNEL(forward_sparse_##name)(int64_t rows, int64_t fan_out, int64_t fan_in,     \
                                              const fbp_csr *x, const void *w, const void *b,    \
                                              void *out, int64_t out_stride)                     \
    {                                                                                            \
        FORWARD_##how(name, forward_sparse, rows, fan_out, fan_in, x, w, b, out, out_stride);    \
    }
#include "registry.def"

#define BACKWARD_KERNELS(name, product, column, ...)                                             \
    static void KERNEL(backward_##name)(int64_t rows, int64_t fan_in, int64_t fan_out,           \
                                        const void *delta, int64_t delta_stride, const void *wt, \
                                        const void *a, int64_t a_stride, void *out)              \
    {                                                                                            \
        product(rows, fan_in, fan_out, delta, delta_stride, wt, a, a_stride, out, __VA_ARGS__);  \
    }                                                                                            \
    static void KERNEL(backward_column_##name)(                                                  \
        int64_t rows, int64_t fan_in, int64_t fan_out, const void *delta, int64_t delta_stride,  \
        const void *w, const void *a, int64_t a_stride, void *out)                               \
    {                                                                                            \
        (void)fan_out, (void)delta_stride;                                                       \
        column(rows, fan_in, delta, w, a, a_stride, out, __VA_ARGS__);                           \
    }
#define BACKWARD_FUSED(name) \
    BACKWARD_KERNELS(name, backward_product, backward_column, name##_backward, NULL)
#define BACKWARD_PASS(name) \
    BACKWARD_KERNELS(name, backward_then, backward_column_then, name##_backward_pass)
#define BACKWARD_STORED(name) \
    BACKWARD_KERNELS(name, backward_then, backward_column_then, slopes_backward_pass)
#define FBP_ACTIVATION(NAME, name, how) BACKWARD_##how(name)
#include "registry.def"
BACKWARD_STORED(slopes)

#define FBP_SOLVER(NAME, name, n_moments)                                             \
    static void KERNEL(update_##name)(const fbp_strip *s, const fbp_update *u)        \
    {                                                                                 \
        update_product(s, u, name##_step);                                            \
    }                                                                                 \
    static void KERNEL(update_column_##name)(const fbp_strip *s, const fbp_update *u) \
    {                                                                                 \
        update_column(s, u, name##_step);                                             \
    }
#include "registry.def"

#define DEFINE_LINK(name)                                                             \
    static void KERNEL(link_##name)(int64_t rows, int64_t n, void *z, int64_t stride) \
    {                                                                                 \
        apply_link(rows, n, z, stride, name##_link);                                  \
    }
DEFINE_LINK(identity)
DEFINE_LINK(logistic)
DEFINE_LINK(exp)

#define DEFINE_LOSS_MEAN(name, parameter) DEFINE_LOSS(name, 1, parameter)
#define DEFINE_LOSS_SUM(name, parameter) DEFINE_LOSS(name, 0, parameter)
#define DEFINE_LOSS_CODES(name, parameter)
#define DEFINE_LOSS(name, mean, parameter)                                                    \
    static void KERNEL(loss_##name)(int64_t rows, int64_t n, void *z, int64_t stride,         \
                                    const fbp_targets *targets, double *row_loss)             \
    {                                                                                         \
        if (n == 1)                                                                           \
            column_loss(rows, z, targets, row_loss, name##_terms, FBP_PARAMETER_##parameter); \
        else                                                                                  \
            panel_loss(rows, n, z, stride, targets, row_loss, name##_terms,                   \
                       FBP_PARAMETER_##parameter);                                            \
        for (int64_t row = 0; (mean) && row < rows; row++)                                    \
            row_loss[row] /= (double)n;                                                       \
    }
#define FBP_LOSS(NAME, name, link, reduction, parameter) DEFINE_LOSS_##reduction(name, parameter)
#include "registry.def"

#define DEFINE_MATH(name)                                                                       \
    static void KERNEL(math_##name)(int64_t n, const void *x, void *y)                          \
    {                                                                                           \
        for (int64_t i = 0; i < n; i += VF_LANES)                                               \
            store_tail((real *)y + i, vf_##name(load_tail((const real *)x + i, n - i)), n - i); \
    }
DEFINE_MATH(exp)
DEFINE_MATH(log)
DEFINE_MATH(tanh)
DEFINE_MATH(logistic)
DEFINE_MATH(expm1)
DEFINE_MATH(softplus)
DEFINE_MATH(normal_cdf)

static const fbp_kernels KERNEL(table) = {
    .lanes = VF_LANES,
    .mr = MR,
    .nr = NR,
    .fused = VF_FUSED,
    .forward =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(forward_##name),
#include "registry.def"
        },
    .forward_column = KERNEL(forward_column),
    .backward =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(backward_##name),
#include "registry.def"
        },
    .backward_column =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(backward_column_##name),
#include "registry.def"
        },
    .backward_slopes = KERNEL(backward_slopes),
    .backward_column_slopes = KERNEL(backward_column_slopes),
    .slopes =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(slopes_##name),
#include "registry.def"
        },
    .update =
        {
#define FBP_SOLVER(NAME, name, n_moments) KERNEL(update_##name),
#include "registry.def"
        },
    .update_column =
        {
#define FBP_SOLVER(NAME, name, n_moments) KERNEL(update_column_##name),
#include "registry.def"
        },
    .gradient_squares = KERNEL(gradient_squares),
    .forward_sparse =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(forward_sparse_##name),
#include "registry.def"
        },
    .forward_sparse_column = KERNEL(forward_sparse_column),
    .update_sparse =
        {
#define FBP_SOLVER(NAME, name, n_moments) KERNEL(update_sparse_##name),
#include "registry.def"
        },
    .update_sparse_column =
        {
#define FBP_SOLVER(NAME, name, n_moments) KERNEL(update_sparse_column_##name),
#include "registry.def"
        },
    .loss =
        {
#define FBP_LOSS(NAME, name, link, reduction, parameter) KERNEL(loss_##name),
#include "registry.def"
        },
    .link =
        {
#define FBP_LOSS(NAME, name, link, reduction, parameter) KERNEL(link_##link),
#include "registry.def"
        },
    .gather_dense = {KERNEL(gather_dense_f32), KERNEL(gather_dense_f64)},
    .gather_csr = {KERNEL(gather_csr_f32), KERNEL(gather_csr_f64)},
    .compact = {KERNEL(compact_f32), KERNEL(compact_f64)},
    .cut = KERNEL(cut),
    .drop = KERNEL(drop),
    .random_words = KERNEL(random_words),
    .scatter = {KERNEL(scatter_f32), KERNEL(scatter_f64)},
    .rows = KERNEL(rows),
    .rows_column = KERNEL(rows_column),
    .activate =
        {
#define FBP_ACTIVATION(NAME, name, how) KERNEL(activate_##name),
#include "registry.def"
        },
    .within = KERNEL(within),
    .pack = KERNEL(pack),
    .unpack = KERNEL(unpack),
    .math = {KERNEL(math_exp), KERNEL(math_log), KERNEL(math_tanh), KERNEL(math_logistic),
             KERNEL(math_expm1), KERNEL(math_softplus), KERNEL(math_normal_cdf)},
};

const fbp_kernels *const KERNEL(fbp_kernels) = &KERNEL(table);
