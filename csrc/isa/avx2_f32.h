/* SPDX-License-Identifier: BSD-3-Clause */
/* Vocabulary: AVX2 and FMA, float. 4 × 3 accumulators leave 4 of 16 registers. */
#include "transpose_x86.h"
#include "words_avx2.h"

typedef float real;
typedef __m256 vf;
typedef __m256 vm;

#define REAL_BITS 32
#define VF_LANES 8
#define VF_FUSED 1
#define MR 4
#define NV 3

#define vf_load(p) _mm256_loadu_ps(p)
#define vf_store(p, a) _mm256_storeu_ps(p, a)
#define vf_set1(x) _mm256_set1_ps(x)
#define vf_add(a, b) _mm256_add_ps(a, b)
#define vf_sub(a, b) _mm256_sub_ps(a, b)
#define vf_mul(a, b) _mm256_mul_ps(a, b)
#define vf_div(a, b) _mm256_div_ps(a, b)
#define vf_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vf_sqrt(a) _mm256_sqrt_ps(a)
#define vf_max(a, b) _mm256_max_ps(a, b)
#define vf_round(a) _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vf_lt(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define vf_eq(a, b) _mm256_cmp_ps(a, b, _CMP_EQ_OQ)
#define vf_select(m, a, b) _mm256_blendv_ps(b, a, m)
#define vf_and(a, b) _mm256_and_ps(a, b)
#define vf_or(a, b) _mm256_or_ps(a, b)
#define vf_add_bits(a, b) \
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
#define vf_shl_bits(a, n) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), n))
#define vf_shr_bits(a, n) _mm256_castsi256_ps(_mm256_srli_epi32(_mm256_castps_si256(a), n))
#define vf_set1_bits(x) _mm256_castsi256_ps(_mm256_set1_epi32((int)(x)))
#define real_fma(a, b, c) __builtin_fmaf(a, b, c)
#define tile_transpose_4x4(src, lds, dst, ldd) transpose_4x4_f32(src, lds, dst, ldd)
