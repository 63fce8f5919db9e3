/* SPDX-License-Identifier: BSD-3-Clause */
/* Scalar helpers of the ref vocabularies: what C has no operator for. */
static inline uint32_t to_bits_f32(float a)
{
    uint32_t u;
    memcpy(&u, &a, sizeof u);
    return u;
}

static inline float from_bits_f32(uint32_t u)
{
    float a;
    memcpy(&a, &u, sizeof a);
    return a;
}

static inline float max_f32(float a, float b) { return a > b ? a : b; }

/* IEEE says that a square root is correctly rounded; with -fno-math-errno it is one instruction. */
static inline float sqrt_f32(float a) { return __builtin_sqrtf(a); }

/* For |a| below a quarter of the magic number, which is all that the templates ask for. */
static inline float round_f32(float a) { return (a + 12582912.0f) - 12582912.0f; }

static inline void transpose_4x4_f32(const float *src, int64_t lds, float *dst, int64_t ldd)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            dst[j * ldd + i] = src[i * lds + j];
}

static inline uint64_t to_bits_f64(double a)
{
    uint64_t u;
    memcpy(&u, &a, sizeof u);
    return u;
}

static inline double from_bits_f64(uint64_t u)
{
    double a;
    memcpy(&a, &u, sizeof a);
    return a;
}

static inline double max_f64(double a, double b) { return a > b ? a : b; }

/* IEEE says that a square root is correctly rounded; with -fno-math-errno it is one instruction. */
static inline double sqrt_f64(double a) { return __builtin_sqrt(a); }

/* For |a| below a quarter of the magic number, which is all that the templates ask for. */
static inline double round_f64(double a) { return (a + 6755399441055744.0) - 6755399441055744.0; }

static inline void transpose_4x4_f64(const double *src, int64_t lds, double *dst, int64_t ldd)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            dst[j * ldd + i] = src[i * lds + j];
}
