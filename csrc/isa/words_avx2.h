/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of 64 bits in AVX2, for random numbers. */
typedef __m256i vw;

#define VW_LANES 4

#define vw_load(p) _mm256_loadu_si256((const __m256i *)(p))
#define vw_store(p, a) _mm256_storeu_si256((__m256i *)(p), a)
#define vw_set1(x) _mm256_set1_epi64x((long long)(x))
#define vw_add(a, b) _mm256_add_epi64(a, b)
#define vw_xor(a, b) _mm256_xor_si256(a, b)
#define vw_mul_low(a, b) _mm256_mul_epu32(a, b)
#define vw_high(a) _mm256_srli_epi64(a, 32)
#define vw_zip_low(a, b) _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa)
