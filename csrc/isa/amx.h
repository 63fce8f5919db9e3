/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AMX instructions, as bytes: assemblers older than 2.35 know no names for them, and compilers' own
 * intrinsics have been seen to lose stores into a configuration or an operand. Here every one that
 * reads memory is volatile, takes whole structures or clobbers "memory", and nothing moves past it.
 *
 *     C = A · B over 16 rows, 16 columns, 32 of k:  acc + (Σ even products + Σ odd products), each sum
 *     a chain of fused multiply-adds in float32; nearest even, subnormals are zero, whatever MXCSR says
 */

/* Eight tiles of 16 rows × 64 bytes. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;

static inline void amx_enter(void)
{
    amx_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = 64;
        config.rows[t] = 16;
    }
    __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" /* ldtilecfg [rax] */
                     :
                     : "a"(&config), "m"(config)
                     : "memory");
}

static inline void amx_leave(void)
{
    __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0" : : : "memory"); /* tilerelease */
}

/* tmm ← 0 */
#define AMX_ZERO(tmm) \
    __asm__ volatile(".byte 0xc4, 0xe2, 0x7b, 0x49, %c0" : : "i"(0xc0 | (tmm) << 3))
/* tmm ← 16 rows, `step` bytes apart: tileloadd tmm, [rax + rdx] */
#define AMX_LOAD(tmm, p, step)                                              \
    __asm__ volatile(".byte 0xc4, 0xe2, 0x7b, 0x4b, %c2, 0x10"              \
                     :                                                      \
                     : "a"(p), "d"((int64_t)(step)), "i"(0x04 | (tmm) << 3) \
                     : "memory")
/* tilestored [rax + rdx], tmm */
#define AMX_STORE(tmm, p, step)                                             \
    __asm__ volatile(".byte 0xc4, 0xe2, 0x7a, 0x4b, %c2, 0x10"              \
                     :                                                      \
                     : "a"(p), "d"((int64_t)(step)), "i"(0x04 | (tmm) << 3) \
                     : "memory")
/* c += a · b: tdpbf16ps */
#define AMX_MULTIPLY(c, a, b)                           \
    __asm__ volatile(".byte 0xc4, 0xe2, %c0, 0x5c, %c1" \
                     :                                  \
                     : "i"((~(b)&15) << 3 | 2), "i"(0xc0 | (c) << 3 | (a)))
