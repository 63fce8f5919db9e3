/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of 64 bits in Advanced SIMD, for random numbers. */
typedef uint64x2_t vw;

#define VW_LANES 2

#define vw_load(p) vld1q_u64(p)
#define vw_store(p, a) vst1q_u64(p, a)
#define vw_set1(x) vdupq_n_u64(x)
#define vw_add(a, b) vaddq_u64(a, b)
#define vw_xor(a, b) veorq_u64(a, b)
#define vw_mul_low(a, b) vmull_u32(vmovn_u64(a), vmovn_u64(b))
#define vw_high(a) vshrq_n_u64(a, 32)
#define vw_zip_low(a, b) vsliq_n_u64(a, b, 32)
