/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of 64 bits in SSE2, for random numbers. */
typedef __m128i vw;

#define VW_LANES 2

#define vw_load(p) _mm_loadu_si128((const __m128i *)(p))
#define vw_store(p, a) _mm_storeu_si128((__m128i *)(p), a)
#define vw_set1(x) _mm_set1_epi64x((long long)(x))
#define vw_add(a, b) _mm_add_epi64(a, b)
#define vw_xor(a, b) _mm_xor_si128(a, b)
#define vw_mul_low(a, b) _mm_mul_epu32(a, b)
#define vw_high(a) _mm_srli_epi64(a, 32)
#define vw_zip_low(a, b) \
    _mm_or_si128(_mm_and_si128(a, _mm_set1_epi64x(0xffffffff)), _mm_slli_epi64(b, 32))
