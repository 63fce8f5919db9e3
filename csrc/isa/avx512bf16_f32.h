/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vocabulary: products of bfloat16 by VDPBF16PS, one part. Per pair of k: fma of the odd, then of the
 * even numbers; nearest even, subnormals are zero, whatever MXCSR says.
 */

#define MOST_PARTS 1
#define BREAK_EVEN 10
#define START NULL
#define ENTER NULL
#define LEAVE NULL

/* 8 rows of sums, from row r on; 16 accumulators of 32 registers hide the latency. */
static ALWAYS_INLINE void multiply_rows(const int across, const tile_sums *t, int64_t r)
{
    const uint16_t *a = t->a + r / 16 * t->a_step + r % 16 * 32, *b = t->b;
    __m512 acc[8][2];
    UNROLL
    for (int i = 0; i < 8; i++) {
        UNROLL
        for (int v = 0; v < across; v++)
            acc[i][v] =
                t->first ? _mm512_setzero_ps() : _mm512_loadu_ps(t->out[v] + (r + i) * t->ld);
    }
    for (int64_t k = 0; k < t->k; k++, a += 512, b += 512)
        for (int pair = 0; pair < 32; pair += 2) {
            __m512i bv[2];
            UNROLL
            for (int v = 0; v < across; v++)
                bv[v] = _mm512_loadu_si512(b + v * t->b_step + pair * 16);
            UNROLL
            for (int i = 0; i < 8; i++) {
                int32_t two;
                memcpy(&two, a + i * 32 + pair, sizeof two);
                const __m512bh av = (__m512bh)_mm512_set1_epi32(two);
                UNROLL
                for (int v = 0; v < across; v++)
                    acc[i][v] = _mm512_dpbf16_ps(acc[i][v], av, (__m512bh)bv[v]);
            }
        }
    UNROLL
    for (int i = 0; i < 8; i++) {
        UNROLL
        for (int v = 0; v < across; v++)
            _mm512_storeu_ps(t->out[v] + (r + i) * t->ld, acc[i][v]);
    }
}

static void tiles_multiply(const tile_sums *t)
{
    for (int64_t r = 0; r < 16 * t->down; r += 8)
        if (t->across == 2)
            multiply_rows(2, t, r);
        else
            multiply_rows(1, t, r);
}
