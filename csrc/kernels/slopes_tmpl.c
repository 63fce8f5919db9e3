/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Training's second half of a forward product whose layer keeps the slopes act'(z) (internal.h):
 *
 *     z → a = act(z) in place,   slopes = act'(z)          panels alike
 *
 * The backward product then ends with delta · slopes, whatever the activation is.
 */

/* act'(z): by <name>_slope where it is a function of z alone, else from the output. */
#define SLOPE_STORED(name) name##_slope(z)
#define SLOPE_PASS(name) name##_backward(vf_set1(1), a)
#define SLOPE_FUSED(name) SLOPE_PASS(name)

#define FBP_ACTIVATION(NAME, name, how)                                                 \
    static void KERNEL(slopes_##name)(int64_t rows, int64_t n, void *z_, void *slopes_, \
                                      int64_t stride)                                   \
    {                                                                                   \
        real *values = z_, *slopes = slopes_;                                           \
        for (; n > 0; n -= NR, values += stride, slopes += stride) {                    \
            const int64_t end = fbp_round_up(fbp_min(n, NR), VF_LANES);                 \
            for (int64_t r = 0; r < rows; r++)                                          \
                for (int64_t at = r * NR; at < r * NR + end; at += VF_LANES) {          \
                    const vf z = vf_load(values + at), a = name##_forward(z);           \
                    vf_store(slopes + at, SLOPE_##how(name));                           \
                    vf_store(values + at, a);                                           \
                }                                                                       \
        }                                                                               \
    }
#include "registry.def"
