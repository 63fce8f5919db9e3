/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See amx_emulator.h. Instructions are those of Intel's manual, volume 2, with VEX prefixes of three
 * bytes: ldtilecfg, sttilecfg, tilerelease, tilezero, tileloadd, tileloaddt1, tilestored, tdpbf16ps. What
 * a CPU would refuse (tiles without a configuration, rows beyond it) ends the program with a message.
 */
#define _GNU_SOURCE
#include "amx_emulator.h"

#include <immintrin.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "isa/amx_cpu.h"

#define TILES 8
#define ROWS 16
#define ROW_BYTES 64
#define MXCSR_TILES 0x9fc0u /* nearest, subnormals are zero, no exceptions */

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

typedef struct {
    int rex_r, rex_x, rex_b, source, prefix, opcode, mod, reg, rm;
    const uint8_t *end;
    uintptr_t address, stride;
} instruction;

amx_behaviour amx_emulated = AMX_WORKS;

static __thread tile_config config;
static __thread uint8_t tiles[TILES][ROWS][ROW_BYTES];
static atomic_int n_configured;
static _Atomic int64_t n_products;

int amx_configured(void) { return atomic_load(&n_configured); }

int64_t amx_products(void) { return atomic_load(&n_products); }

/* From inside a signal handler: what would be wrong on a CPU, too. */
static _Noreturn void refuse(const char *why)
{
    fprintf(stderr, "AMX emulator: %s\n", why);
    _Exit(3);
}

static float widened(uint16_t bits)
{
    const uint32_t u = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &u, sizeof value);
    return value;
}

/* Σ even and Σ odd products apart, each a chain of fma, then both into the sum. */
__attribute__((target("avx512f"))) static void multiply(float *c, const uint16_t *a,
                                                        const uint16_t *b)
{
    __m512 right_even[16], right_odd[16];
    for (int k = 0; k < 16; k++) {
        const __m512i pairs = _mm512_loadu_si512(b + k * 32);
        const __m512i odd = _mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u));
        right_even[k] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
        right_odd[k] = _mm512_castsi512_ps(odd);
    }
    for (int m = 0; m < 16; m++) {
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
        for (int k = 0; k < 16; k++) {
            const float x = widened(a[m * 32 + 2 * k]), y = widened(a[m * 32 + 2 * k + 1]);
            even = _mm512_fmadd_ps(_mm512_set1_ps(x), right_even[k], even);
            odd = _mm512_fmadd_ps(_mm512_set1_ps(y), right_odd[k], odd);
        }
        const __m512 sum = _mm512_loadu_ps(c + m * 16);
        _mm512_storeu_ps(c + m * 16, _mm512_add_ps(sum, _mm512_add_ps(even, odd)));
    }
}

void amx_multiply(float *c, const uint16_t *a, const uint16_t *b)
{
    const unsigned saved = _mm_getcsr();
    _mm_setcsr(MXCSR_TILES);
    multiply(c, a, b);
    _mm_setcsr(saved);
}

static void tile_product(int c, int a, int b)
{
    if (c == a || c == b || a == b) refuse("one tile twice in a product");
    for (int t = 0; t < 3; t++) {
        const int tile = t == 0 ? c : t == 1 ? a : b;
        if (config.rows[tile] != ROWS || config.row_bytes[tile] != ROW_BYTES)
            refuse("a product of tiles that are not 16 x 64 bytes");
    }
    amx_multiply((float *)(void *)tiles[c], (const uint16_t *)(const void *)tiles[a],
                 (const uint16_t *)(const void *)tiles[b]);
    if (amx_emulated == AMX_ERRS) tiles[c][7][12] ^= 1;
    atomic_fetch_add(&n_products, 1);
}

static void configure(const void *from)
{
    tile_config wanted;
    memcpy(&wanted, from, sizeof wanted);
    if (wanted.palette != 1) refuse("a palette other than 1");
    for (int t = 0; t < 16; t++)
        if (wanted.rows[t] > ROWS || wanted.row_bytes[t] > ROW_BYTES || wanted.row_bytes[t] % 4 ||
            (t >= TILES && (wanted.rows[t] || wanted.row_bytes[t])))
            refuse("a bad configuration");
    if (config.palette == 0) atomic_fetch_add(&n_configured, 1);
    config = wanted;
    memset(tiles, 0, sizeof tiles);
}

static void release(void)
{
    if (config.palette != 0) atomic_fetch_sub(&n_configured, 1);
    memset(&config, 0, sizeof config);
}

/* The general registers in the order of their numbers. */
static uintptr_t value_of(const ucontext_t *context, int number)
{
    static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};
    return (uintptr_t)context->uc_mcontext.gregs[order[number]];
}

/* The memory operand: its address, apart from index · scale, which is a tile's row stride. */
static const uint8_t *decode_memory(const ucontext_t *context, const uint8_t *p, instruction *i)
{
    int base = i->rm, has_base = 1, relative = 0;
    if (i->rm == 4) {
        const int sib = *p++, index = (sib >> 3 & 7) | i->rex_x << 3;
        base = sib & 7;
        has_base = !(base == 5 && i->mod == 0);
        i->stride = index == 4 ? 0 : value_of(context, index) << (sib >> 6);
    } else if (i->rm == 5 && i->mod == 0) {
        has_base = 0;
        relative = 1;
    }
    int32_t displacement = 0;
    if (i->mod == 1) {
        displacement = (int8_t)*p++;
    } else if (i->mod == 2 || !has_base) {
        memcpy(&displacement, p, sizeof displacement);
        p += sizeof displacement;
    }
    i->address = (uintptr_t)(intptr_t)displacement;
    if (has_base) i->address += value_of(context, base | i->rex_b << 3);
    if (relative) i->address += (uintptr_t)p;
    return p;
}

/* 0 where it is not of the form of a tile instruction. */
static int decode(const ucontext_t *context, const uint8_t *p, instruction *i)
{
    memset(i, 0, sizeof *i);
    if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x84) != 0) return 0;
    i->rex_r = ~p[1] >> 7 & 1;
    i->rex_x = ~p[1] >> 6 & 1;
    i->rex_b = ~p[1] >> 5 & 1;
    i->source = ~(p[2] >> 3) & 15;
    i->prefix = p[2] & 3;
    i->opcode = p[3];
    i->mod = p[4] >> 6;
    i->reg = p[4] >> 3 & 7;
    i->rm = p[4] & 7;
    i->end = i->mod == 3 ? p + 5 : decode_memory(context, p + 5, i);
    return !i->rex_r;
}

static void move_rows(const instruction *i, int store)
{
    uint8_t(*tile)[ROW_BYTES] = tiles[i->reg];
    const size_t bytes = config.row_bytes[i->reg];
    if (i->rm != 4) refuse("a tile's rows without an index register's form");
    if (!store) memset(tile, 0, sizeof tiles[0]);
    for (size_t r = 0; r < config.rows[i->reg]; r++) {
        uint8_t *memory = (uint8_t *)(i->address + r * i->stride);
        if (store)
            memcpy(memory, tile[r], bytes);
        else
            memcpy(tile[r], memory, bytes);
    }
}

enum { NONE, P66, PF3, PF2 };
#define KEY(opcode, prefix) ((opcode) << 2 | (prefix))

/* 0 where it is none of ours. */
static int execute(const instruction *i)
{
    const int in_memory = i->mod != 3, key = KEY(i->opcode, i->prefix);
    if (key == KEY(0x49, NONE) && in_memory) {
        configure((const void *)i->address);
        return 1;
    }
    if (key == KEY(0x49, NONE) && i->reg == 0 && i->rm == 0) {
        release();
        return 1;
    }
    if (key == KEY(0x49, P66) && in_memory) {
        memcpy((void *)i->address, &config, sizeof config);
        return 1;
    }
    if (i->opcode != 0x49 && i->opcode != 0x4b && i->opcode != 0x5c) return 0;
    if (config.palette == 0) refuse("a tile used without a configuration");
    if (key == KEY(0x49, PF2) && !in_memory)
        memset(tiles[i->reg], 0, sizeof tiles[0]);
    else if ((key == KEY(0x4b, PF2) || key == KEY(0x4b, P66)) && in_memory)
        move_rows(i, 0);
    else if (key == KEY(0x4b, PF3) && in_memory)
        move_rows(i, 1);
    else if (key == KEY(0x5c, PF3) && !in_memory && i->source < TILES)
        tile_product(i->reg, i->rm, i->source);
    else
        return 0;
    return 1;
}

static void on_illegal(int number, siginfo_t *info, void *context_)
{
    ucontext_t *context = context_;
    instruction i;
    (void)info;
    if (decode(context, (const uint8_t *)context->uc_mcontext.gregs[REG_RIP], &i) && execute(&i)) {
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)i.end;
        return;
    }
    signal(number, SIG_DFL); /* not ours: it faults again, and ends the program */
}

int fbp_amx_present(void) { return amx_emulated != AMX_ABSENT; }

int fbp_amx_permitted(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    if (getenv("FBP_AMX_ERRS")) amx_emulated = AMX_ERRS; /* for who cannot set it */
    if (amx_emulated == AMX_REFUSED) return 0;
    action.sa_sigaction = on_illegal;
    return sigaction(SIGILL, &action, NULL) == 0;
}
