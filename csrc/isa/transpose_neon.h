/* SPDX-License-Identifier: BSD-3-Clause */
/* Transposes of 4 × 4 blocks in Advanced SIMD: the update writes Wᵀ with them. */
static inline void transpose_4x4_f32(const float *src, int64_t lds, float *dst, int64_t ldd)
{
    const float32x4x2_t low = vtrnq_f32(vld1q_f32(src), vld1q_f32(src + lds));
    const float32x4x2_t high = vtrnq_f32(vld1q_f32(src + 2 * lds), vld1q_f32(src + 3 * lds));
    for (int i = 0; i < 2; i++) {
        const float32x4_t a = low.val[i], b = high.val[i];
        vst1q_f32(dst + i * ldd, vcombine_f32(vget_low_f32(a), vget_low_f32(b)));
        vst1q_f32(dst + (i + 2) * ldd, vcombine_f32(vget_high_f32(a), vget_high_f32(b)));
    }
}

/* In blocks of 2 × 2. */
static inline void transpose_4x4_f64(const double *src, int64_t lds, double *dst, int64_t ldd)
{
    for (int i = 0; i < 4; i += 2)
        for (int j = 0; j < 4; j += 2) {
            const float64x2_t r0 = vld1q_f64(src + i * lds + j);
            const float64x2_t r1 = vld1q_f64(src + (i + 1) * lds + j);
            vst1q_f64(dst + j * ldd + i, vtrn1q_f64(r0, r1));
            vst1q_f64(dst + (j + 1) * ldd + i, vtrn2q_f64(r0, r1));
        }
}
