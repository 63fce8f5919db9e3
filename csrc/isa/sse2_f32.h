/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vocabulary: SSE2, float, for x86-64 CPUs without FMA. A product is rounded before it is added: bits
 * of its own. 4 × 2 accumulators, since a product needs a register of its own and 12 would spill.
 */
#include "transpose_sse.h"
#include "words_sse.h"

static inline __m128 select_f32(__m128 m, __m128 a, __m128 b)
{
    return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b));
}

/* For |a| below a quarter of the magic number, 1.5 · 2²³, which is all that the templates ask for. */
static inline __m128 round_f32(__m128 a)
{
    const __m128 magic = _mm_set1_ps(12582912.0f);
    return _mm_sub_ps(_mm_add_ps(a, magic), magic);
}

typedef float real;
typedef __m128 vf;
typedef __m128 vm;

#define REAL_BITS 32
#define VF_LANES 4
#define VF_FUSED 0
#define MR 4
#define NV 2

#define vf_load(p) _mm_loadu_ps(p)
#define vf_store(p, a) _mm_storeu_ps(p, a)
#define vf_set1(x) _mm_set1_ps(x)
#define vf_add(a, b) _mm_add_ps(a, b)
#define vf_sub(a, b) _mm_sub_ps(a, b)
#define vf_mul(a, b) _mm_mul_ps(a, b)
#define vf_div(a, b) _mm_div_ps(a, b)
#define vf_fma(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define vf_sqrt(a) _mm_sqrt_ps(a)
#define vf_max(a, b) _mm_max_ps(a, b)
#define vf_round(a) round_f32(a)
#define vf_lt(a, b) _mm_cmplt_ps(a, b)
#define vf_eq(a, b) _mm_cmpeq_ps(a, b)
#define vf_select(m, a, b) select_f32(m, a, b)
#define vf_and(a, b) _mm_and_ps(a, b)
#define vf_or(a, b) _mm_or_ps(a, b)
#define vf_add_bits(a, b) _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(a), _mm_castps_si128(b)))
#define vf_shl_bits(a, n) _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(a), n))
#define vf_shr_bits(a, n) _mm_castsi128_ps(_mm_srli_epi32(_mm_castps_si128(a), n))
#define vf_set1_bits(x) _mm_castsi128_ps(_mm_set1_epi32((int)(x)))
#define real_fma(a, b, c) ((a) * (b) + (c))
#define tile_transpose_4x4(src, lds, dst, ldd) transpose_4x4_f32(src, lds, dst, ldd)
