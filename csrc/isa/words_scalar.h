/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of 64 bits in portable C, for random numbers. */
typedef uint64_t vw;

#define VW_LANES 1

#define vw_load(p) (*(p))
#define vw_store(p, a) (*(p) = (a))
#define vw_set1(x) ((uint64_t)(x))
#define vw_add(a, b) ((a) + (b))
#define vw_xor(a, b) ((a) ^ (b))
#define vw_mul_low(a, b) ((uint64_t)(uint32_t)(a) * (uint32_t)(b))
#define vw_high(a) ((a) >> 32)
#define vw_zip_low(a, b) ((uint64_t)(uint32_t)(a) | (b) << 32)
