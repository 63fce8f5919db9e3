/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: split products in AMX tiles, and whether they work on this machine. */
#include "split.h"
#include "amx_cpu.h"
#include "fpenv.h"
#include "target.h"

#if FBP_X86_BF16 && defined(__linux__)
#include <immintrin.h>

FBP_TARGET_BEGIN("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define KERNEL(name) name##_amx
static int amx_start(void);
#include "parts_avx512.h"
#include "kernels/macros_tmpl.c"
#include "amx_f32.h"

#include "kernels/split_product_tmpl.c"

/* A number of moderate size, another for each i, and its bits. */
static uint16_t sample(int i)
{
    const uint32_t bits = (uint32_t)i * 2654435761u;
    return (uint16_t)((bits >> 16 & 0x8000) | 0x3e00 | (bits >> 20 & 0x01ff));
}

static float widened(uint16_t bits)
{
    const uint32_t u = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &u, sizeof value);
    return value;
}

/* 2 × 2 tiles of one part, twice, from a known sum on, against the documented arithmetic. */
static int multiplies_as_documented(void)
{
    uint16_t a[4 * FBP_TILE_SIZE], b[4 * FBP_TILE_SIZE]; /* [row or column of tiles][k] */
    float out[32 * 32];
    for (int i = 0; i < 4 * FBP_TILE_SIZE; i++) {
        a[i] = sample(i);
        b[i] = sample(i + 12345);
    }
    for (int i = 0; i < 32 * 32; i++)
        out[i] = (float)(i % 7);
    const tile_sums sums = {
        1, 2, 2, 2, a, b, 2 * FBP_TILE_SIZE, 2 * FBP_TILE_SIZE, {out, out + 16}, 32, 0};
    amx_enter();
    tiles_multiply(&sums);
    amx_leave();
    int wrong = 0;
    for (int r = 0; r < 32; r++)
        for (int c = 0; c < 32; c++) {
            float expected = (float)((r * 32 + c) % 7);
            for (int k = 0; k < 2; k++) {
                const uint16_t *x = a + (r / 16 * 2 + k) * FBP_TILE_SIZE + r % 16 * 32;
                const uint16_t *y = b + (c / 16 * 2 + k) * FBP_TILE_SIZE + c % 16 * 2;
                float even = 0, odd = 0;
                for (int i = 0; i < 32; i += 2) {
                    even = real_fma(widened(x[i]), widened(y[i * 16]), even);
                    odd = real_fma(widened(x[i + 1]), widened(y[i * 16 + 1]), odd);
                }
                expected += even + odd;
            }
            wrong |= memcmp(&expected, &out[r * 32 + c], sizeof expected);
        }
    return !wrong;
}

static int amx_start(void)
{
    if (!fbp_amx_permitted()) return 0;
    const uint64_t fpenv = fbp_fpenv_enter();
    const int works = multiplies_as_documented();
    fbp_fpenv_leave(fpenv);
    return works;
}
FBP_TARGET_END
#else
const fbp_split_kernels *const fbp_split_amx = NULL;
#endif
