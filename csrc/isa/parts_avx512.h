/* SPDX-License-Identifier: BSD-3-Clause */
/* Vocabulary: bfloat16 parts of vectors of 16 floats; AVX-512 BF16. Besides avx512_f32.h. */
#include "avx512_f32.h"

typedef __m512i vb; /* 32 bfloat16 */

/* The first n of 16 floats, n ≥ 1; zeros behind them. */
static inline vf vf_load_first(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)(n < 16 ? (1u << n) - 1 : 0xffffu), p);
}

/* a rounded to bfloat16, nearest or even, as a float: its low 16 bits are zero. */
static inline vf vf_round_bf16(vf a)
{
    const __m256i words = (__m256i)_mm512_cvtneps_pbh(a);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

/* Of such floats: 16 bfloat16. */
static inline void vf_store_bf16(uint16_t *p, vf a)
{
    const __m512i words = _mm512_srli_epi32(_mm512_castps_si512(a), 16);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(words));
}

/* Of such floats: pairs (even[i], odd[i]). */
static inline vb vb_pair(vf even, vf odd)
{
    return _mm512_or_si512(_mm512_castps_si512(odd),
                           _mm512_srli_epi32(_mm512_castps_si512(even), 16));
}

/* Of such floats: those of a, then those of b. */
static inline vb vb_join(vf a, vf b)
{
    const __m512i words_a = _mm512_srli_epi32(_mm512_castps_si512(a), 16);
    const __m512i words_b = _mm512_srli_epi32(_mm512_castps_si512(b), 16);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(words_a)),
                              _mm512_cvtepi32_epi16(words_b), 1);
}

#define vb_store(p, a) _mm512_storeu_si512(p, a)

/* Eight rows of 16 pairs: pair (r, c) goes to p[(c % 8) · near + (c / 8) · far + 2r]. */
static inline void vb_store_transposed(const vb rows[8], uint16_t *p, int64_t near, int64_t far)
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i four[2][4]; /* [h][j]: in 128-bit lane i, rows 4h … 4h + 3 of column 4i + j */
    for (int h = 0; h < 2; h++) {
        const vb *r = rows + 4 * h;
        const __m512i t0 = _mm512_unpacklo_epi32(r[0], r[1]),
                      t1 = _mm512_unpackhi_epi32(r[0], r[1]);
        const __m512i t2 = _mm512_unpacklo_epi32(r[2], r[3]),
                      t3 = _mm512_unpackhi_epi32(r[2], r[3]);
        four[h][0] = _mm512_unpacklo_epi64(t0, t2);
        four[h][1] = _mm512_unpackhi_epi64(t0, t2);
        four[h][2] = _mm512_unpacklo_epi64(t1, t3);
        four[h][3] = _mm512_unpackhi_epi64(t1, t3);
    }
    for (int j = 0; j < 4; j++) {
        const __m512i first = _mm512_permutex2var_epi64(four[0][j], low, four[1][j]);
        const __m512i second = _mm512_permutex2var_epi64(four[0][j], high, four[1][j]);
        uint16_t *at = p + j * near;
        _mm256_storeu_si256((__m256i *)at, _mm512_castsi512_si256(first));
        _mm256_storeu_si256((__m256i *)(at + 4 * near), _mm512_extracti64x4_epi64(first, 1));
        _mm256_storeu_si256((__m256i *)(at + far), _mm512_castsi512_si256(second));
        _mm256_storeu_si256((__m256i *)(at + far + 4 * near), _mm512_extracti64x4_epi64(second, 1));
    }
}

/* A block of 1 or 2 × 1 or 2 tiles of sums, 16 × 16 floats each, and the operands' tiles. */
typedef struct {
    int parts, down, across;
    int64_t k; /* tiles */
    const uint16_t *a, *b;
    int64_t a_step, b_step; /* from one tile's rows or columns to the next's */
    float *out[2];          /* of each column of tiles */
    int64_t ld;
    int first; /* from zero, otherwise from what is in out */
} tile_sums;
