/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernels' tests share: the families at hand, plain matrices in double for the oracles, and
 * the core's layouts (csrc/internal.h) in guarded buffers.
 *
 * A plain matrix is a malloc'ed row-major array of doubles whose values are reals of the type under
 * test, so that oracle and kernel start from the very same numbers.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include "activations.h"
#include "check.h"
#include "internal.h"
#include "losses.h"

/* Called with every family of one real type, ref first: run(kernels, real, isa). */
typedef struct {
    const fbp_kernels *table;
    int isa;
} family;

static inline int families_of(int real, family out[FBP_N_ISAS])
{
    int n = 0;
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        const fbp_kernels *table = fbp_kernels_find(isa, real);
        if (table) out[n++] = (family){table, isa};
    }
    CHECK(n > 0 && out[0].isa == FBP_ISA_REF, "ref is missing");
    return n;
}

typedef enum { REALS, INTEGERS, UNIT } filling; /* (−1, 1); −8 … 8; (0, 1) */

static inline double *matrix_new(int64_t n)
{
    double *values = malloc(sizeof(double) * (size_t)(n > 0 ? n : 1));
    if (!values) {
        perror("malloc");
        exit(2);
    }
    return values;
}

static inline double *matrix_random(int real, int64_t n, filling kind)
{
    double *values = matrix_new(n);
    for (int64_t i = 0; i < n; i++)
        values[i] = kind == INTEGERS ? (double)(random_below(17) - 8)
                                     : rounded(real, random_between(kind == UNIT ? 0 : -1, 1));
    return values;
}

static inline double *matrix_copy(const double *values, int64_t n)
{
    return memcpy(matrix_new(n), values, sizeof(double) * (size_t)n);
}

static inline buffer buffer_of(int real, const double *values, int64_t n)
{
    buffer b = buffer_new(real, n);
    for (int64_t i = 0; i < n; i++)
        put(&b, i, values[i]);
    return b;
}

/* A vector with room up to whole vectors of lanes; the padding gets `padding`. */
static inline buffer vector_new(const fbp_kernels *k, int real, const double *values, int64_t n,
                                double padding)
{
    buffer b = buffer_new(real, fbp_round_up(n, k->lanes));
    for (int64_t i = 0; i < b.n; i++)
        put(&b, i, i < n ? values[i] : padding);
    return b;
}

/* Panels [rows × cols]. The stride leaves a gap of one row, as between blocks of a chunk. */
typedef struct {
    buffer b;
    int64_t rows, cols, stride, nr, lanes;
} panels;

static inline panels panels_new(const fbp_kernels *k, int real, int64_t rows, int64_t cols)
{
    const int64_t stride = (rows + 1) * k->nr;
    const int64_t n = (fbp_ceil_div(cols, k->nr) - 1) * stride + rows * k->nr;
    return (panels){buffer_new(real, n), rows, cols, stride, k->nr, k->lanes};
}

static inline int64_t panels_at(const panels *p, int64_t r, int64_t c)
{
    return c / p->nr * p->stride + r * p->nr + c % p->nr;
}

/* Put a plain [rows × cols] in; rows beyond stay poison, columns up to whole vectors get padding. */
static inline void panels_fill(panels *p, const double *values, int64_t rows, double padding)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < fbp_round_up(p->cols, p->lanes); c++)
            put(&p->b, panels_at(p, r, c), c < p->cols ? values[r * p->cols + c] : padding);
}

/* Take a plain [rows × cols] out; what lies between the used columns must be untouched. */
static inline void panels_read(const panels *p, int64_t rows, double *values)
{
    const int64_t used = fbp_round_up(p->cols, p->lanes);
    int64_t touched = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < p->cols; c++)
            values[r * p->cols + c] = get(&p->b, panels_at(p, r, c));
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = used; c < fbp_round_up(p->cols, p->nr); c++)
            touched += !isnan(get(&p->b, panels_at(p, r, c)));
    for (int64_t at = p->rows * p->nr; at + p->nr < p->b.n; at += p->stride)
        for (int64_t j = 0; j < p->nr; j++)
            touched += !isnan(get(&p->b, at + j));
    CHECK(touched == 0, "%lld values between panels were written", (long long)touched);
}

/* Packed W and Wᵀ of a plain [fan_in × fan_out], their padding poison. */
typedef struct {
    buffer w, wt;
} packed;

static inline packed packed_new(const fbp_kernels *k, int real, int64_t fan_in, int64_t fan_out,
                                const double *coef)
{
    packed p = {buffer_new(real, fan_in * fbp_round_up(fan_out, k->lanes)),
                buffer_new(real, fan_out * fbp_round_up(fan_in, k->lanes))};
    buffer plain = buffer_of(real, coef, fan_in * fan_out);
    k->pack(fan_in, fan_out, 0, fan_in, plain.data, p.w.data, p.wt.data);
    buffer_free(&plain);
    return p;
}

static inline void packed_free(packed *p)
{
    buffer_free(&p->w);
    buffer_free(&p->wt);
}

/* Where element (i, j) of W [fan_in × fan_out] lies in its packed form; for Wᵀ exchange them. */
static inline int64_t packed_at(const fbp_kernels *k, int64_t fan_in, int64_t fan_out, int64_t i,
                                int64_t j)
{
    const int64_t p = j / k->nr;
    return p * k->nr * fan_in + i * fbp_panel_width(fan_out, p, k->lanes, k->nr) + j % k->nr;
}

/* Every value within its tolerance of the expected one, and not mostly zeros where those are not. */
static inline void check_close(const char *what, int64_t n, const double *actual,
                               const double *expected, const double *tolerance)
{
    int64_t wrong = 0, first = -1, zeros = 0, expected_zeros = 0;
    for (int64_t i = 0; i < n; i++) {
        zeros += actual[i] == 0;
        expected_zeros += expected[i] == 0;
        if (fabs(actual[i] - expected[i]) <= tolerance[i]) continue;
        first = wrong++ ? first : i;
    }
    CHECK(wrong == 0, "%s: %lld of %lld wrong, first [%lld] = %.9g, expected %.9g ± %.3g", what,
          (long long)wrong, (long long)n, (long long)first, first < 0 ? 0 : actual[first],
          first < 0 ? 0 : expected[first], first < 0 ? 0 : tolerance[first]);
    CHECK(2 * (zeros - expected_zeros) <= n, "%s: mostly zeros", what);
}

/* The same bits as a result that was kept: ref's, for a family that is fused; else an own one. */
static inline void check_same(const char *what, int64_t n, const double *actual, const double *kept)
{
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < n; i++)
        if (!same_bits(actual[i], kept[i])) first = wrong++ ? first : i;
    CHECK(wrong == 0, "%s: %lld of %lld have other bits, first [%lld] = %a, expected %a", what,
          (long long)wrong, (long long)n, (long long)first, first < 0 ? 0 : actual[first],
          first < 0 ? 0 : kept[first]);
}

#endif
