/* SPDX-License-Identifier: BSD-3-Clause */
/* Vocabulary: AVX-512 (F, BW, DQ, VL), double. 8 × 3 accumulators leave 8 of 32 registers. */
#include "transpose_x86.h"
#include "words_avx512.h"

typedef double real;
typedef __m512d vf;
typedef __mmask8 vm;

#define REAL_BITS 64
#define VF_LANES 8
#define VF_FUSED 1
#define MR 8
#define NV 3

#define vf_load(p) _mm512_loadu_pd(p)
#define vf_store(p, a) _mm512_storeu_pd(p, a)
#define vf_set1(x) _mm512_set1_pd(x)
#define vf_add(a, b) _mm512_add_pd(a, b)
#define vf_sub(a, b) _mm512_sub_pd(a, b)
#define vf_mul(a, b) _mm512_mul_pd(a, b)
#define vf_div(a, b) _mm512_div_pd(a, b)
#define vf_fma(a, b, c) _mm512_fmadd_pd(a, b, c)
#define vf_sqrt(a) _mm512_sqrt_pd(a)
#define vf_max(a, b) _mm512_max_pd(a, b)
#define vf_round(a) _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vf_lt(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define vf_eq(a, b) _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ)
#define vf_select(m, a, b) _mm512_mask_blend_pd(m, b, a)
#define vf_and(a, b) _mm512_and_pd(a, b)
#define vf_or(a, b) _mm512_or_pd(a, b)
#define vf_add_bits(a, b) \
    _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b)))
#define vf_shl_bits(a, n) _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), n))
#define vf_shr_bits(a, n) _mm512_castsi512_pd(_mm512_srli_epi64(_mm512_castpd_si512(a), n))
#define vf_set1_bits(x) _mm512_castsi512_pd(_mm512_set1_epi64((long long)(x)))
#define real_fma(a, b, c) __builtin_fma(a, b, c)
#define tile_transpose_4x4(src, lds, dst, ldd) transpose_4x4_f64(src, lds, dst, ldd)
