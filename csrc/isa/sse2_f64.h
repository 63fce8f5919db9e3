/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vocabulary: SSE2, double, for x86-64 CPUs without FMA. A product is rounded before it is added: bits
 * of its own. 4 × 2 accumulators, since a product needs a register of its own and 12 would spill.
 */
#include "transpose_sse.h"
#include "words_sse.h"

static inline __m128d select_f64(__m128d m, __m128d a, __m128d b)
{
    return _mm_or_pd(_mm_and_pd(m, a), _mm_andnot_pd(m, b));
}

/* For |a| below a quarter of the magic number, 1.5 · 2⁵², which is all that the templates ask for. */
static inline __m128d round_f64(__m128d a)
{
    const __m128d magic = _mm_set1_pd(6755399441055744.0);
    return _mm_sub_pd(_mm_add_pd(a, magic), magic);
}

typedef double real;
typedef __m128d vf;
typedef __m128d vm;

#define REAL_BITS 64
#define VF_LANES 2
#define VF_FUSED 0
#define MR 4
#define NV 2

#define vf_load(p) _mm_loadu_pd(p)
#define vf_store(p, a) _mm_storeu_pd(p, a)
#define vf_set1(x) _mm_set1_pd(x)
#define vf_add(a, b) _mm_add_pd(a, b)
#define vf_sub(a, b) _mm_sub_pd(a, b)
#define vf_mul(a, b) _mm_mul_pd(a, b)
#define vf_div(a, b) _mm_div_pd(a, b)
#define vf_fma(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#define vf_sqrt(a) _mm_sqrt_pd(a)
#define vf_max(a, b) _mm_max_pd(a, b)
#define vf_round(a) round_f64(a)
#define vf_lt(a, b) _mm_cmplt_pd(a, b)
#define vf_eq(a, b) _mm_cmpeq_pd(a, b)
#define vf_select(m, a, b) select_f64(m, a, b)
#define vf_and(a, b) _mm_and_pd(a, b)
#define vf_or(a, b) _mm_or_pd(a, b)
#define vf_add_bits(a, b) _mm_castsi128_pd(_mm_add_epi64(_mm_castpd_si128(a), _mm_castpd_si128(b)))
#define vf_shl_bits(a, n) _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(a), n))
#define vf_shr_bits(a, n) _mm_castsi128_pd(_mm_srli_epi64(_mm_castpd_si128(a), n))
#define vf_set1_bits(x) _mm_castsi128_pd(_mm_set1_epi64x((long long)(x)))
#define real_fma(a, b, c) ((a) * (b) + (c))
#define tile_transpose_4x4(src, lds, dst, ldd) transpose_2x2s_f64(src, lds, dst, ldd)
