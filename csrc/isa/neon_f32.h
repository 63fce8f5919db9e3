/* SPDX-License-Identifier: BSD-3-Clause */
/* Vocabulary: AArch64's Advanced SIMD, float. 4 × 4 accumulators, enough for four pipes of four cycles. */
#include "transpose_neon.h"
#include "words_neon.h"

#define to_bits(a) vreinterpretq_u32_f32(a)
#define from_bits(a) vreinterpretq_f32_u32(a)

/* fmax would give NaN for either operand that is one, and +0 of two zeros. */
static inline float32x4_t max_f32(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

typedef float real;
typedef float32x4_t vf;
typedef uint32x4_t vm;

#define REAL_BITS 32
#define VF_LANES 4
#define VF_FUSED 1
#define MR 4
#define NV 4

#define vf_load(p) vld1q_f32(p)
#define vf_store(p, a) vst1q_f32(p, a)
#define vf_set1(x) vdupq_n_f32(x)
#define vf_add(a, b) vaddq_f32(a, b)
#define vf_sub(a, b) vsubq_f32(a, b)
#define vf_mul(a, b) vmulq_f32(a, b)
#define vf_div(a, b) vdivq_f32(a, b)
#define vf_fma(a, b, c) vfmaq_f32(c, a, b)
#define vf_sqrt(a) vsqrtq_f32(a)
#define vf_max(a, b) max_f32(a, b)
#define vf_round(a) vrndnq_f32(a)
#define vf_lt(a, b) vcltq_f32(a, b)
#define vf_eq(a, b) vceqq_f32(a, b)
#define vf_select(m, a, b) vbslq_f32(m, a, b)
#define vf_and(a, b) from_bits(vandq_u32(to_bits(a), to_bits(b)))
#define vf_or(a, b) from_bits(vorrq_u32(to_bits(a), to_bits(b)))
#define vf_add_bits(a, b) from_bits(vaddq_u32(to_bits(a), to_bits(b)))
#define vf_shl_bits(a, n) from_bits(vshlq_n_u32(to_bits(a), n))
#define vf_shr_bits(a, n) from_bits(vshrq_n_u32(to_bits(a), n))
#define vf_set1_bits(x) from_bits(vdupq_n_u32(x))
#define real_fma(a, b, c) __builtin_fmaf(a, b, c)
#define tile_transpose_4x4(src, lds, dst, ldd) transpose_4x4_f32(src, lds, dst, ldd)
