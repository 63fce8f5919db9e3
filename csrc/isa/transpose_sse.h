/* SPDX-License-Identifier: BSD-3-Clause */
/* Transposes of 4 × 4 blocks that every x86-64 CPU runs: the update writes Wᵀ with them. */
static inline void transpose_4x4_f32(const float *src, int64_t lds, float *dst, int64_t ldd)
{
    __m128 r0 = _mm_loadu_ps(src), r1 = _mm_loadu_ps(src + lds);
    __m128 r2 = _mm_loadu_ps(src + 2 * lds), r3 = _mm_loadu_ps(src + 3 * lds);
    const __m128 t0 = _mm_unpacklo_ps(r0, r1), t1 = _mm_unpacklo_ps(r2, r3);
    const __m128 t2 = _mm_unpackhi_ps(r0, r1), t3 = _mm_unpackhi_ps(r2, r3);
    _mm_storeu_ps(dst, _mm_movelh_ps(t0, t1));
    _mm_storeu_ps(dst + ldd, _mm_movehl_ps(t1, t0));
    _mm_storeu_ps(dst + 2 * ldd, _mm_movelh_ps(t2, t3));
    _mm_storeu_ps(dst + 3 * ldd, _mm_movehl_ps(t3, t2));
}

/* In blocks of 2 × 2. */
static inline void transpose_2x2s_f64(const double *src, int64_t lds, double *dst, int64_t ldd)
{
    for (int i = 0; i < 4; i += 2)
        for (int j = 0; j < 4; j += 2) {
            const __m128d r0 = _mm_loadu_pd(src + i * lds + j);
            const __m128d r1 = _mm_loadu_pd(src + (i + 1) * lds + j);
            _mm_storeu_pd(dst + j * ldd + i, _mm_unpacklo_pd(r0, r1));
            _mm_storeu_pd(dst + (j + 1) * ldd + i, _mm_unpackhi_pd(r0, r1));
        }
}
