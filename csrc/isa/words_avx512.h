/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of 64 bits in AVX-512, for random numbers. */
typedef __m512i vw;

#define VW_LANES 8

#define vw_load(p) _mm512_loadu_si512((const void *)(p))
#define vw_store(p, a) _mm512_storeu_si512((void *)(p), a)
#define vw_set1(x) _mm512_set1_epi64((long long)(x))
#define vw_add(a, b) _mm512_add_epi64(a, b)
#define vw_xor(a, b) _mm512_xor_si512(a, b)
#define vw_mul_low(a, b) _mm512_mul_epu32(a, b)
#define vw_high(a) _mm512_srli_epi64(a, 32)
#define vw_zip_low(a, b) _mm512_mask_blend_epi32(0xaaaa, a, _mm512_slli_epi64(b, 32))
