/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split products (csrc/split.h) by the book, for matrices as plain rows of floats: parts, tiles,
 * and sums as the two units that there are add them up. Bits, not bounds.
 */
#ifndef SPLIT_MODEL_H
#define SPLIT_MODEL_H

#include "kernels.h"
#include "split.h"
#ifdef EMULATED
#include "amx_emulator.h"
#endif

/* x's parts, as bits of bfloat16. */
static inline uint16_t model_round(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (isnan(x)) return (uint16_t)(u >> 16 | 0x40);
    if ((u & 0x7f800000) == 0) return (uint16_t)(u >> 16 & 0x8000); /* a subnormal is zero */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float model_widen(uint16_t bits)
{
    const uint32_t u = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &u, sizeof value);
    return value;
}

static inline uint16_t model_part(float x, int part)
{
    for (int p = 0; p < part; p++)
        x -= model_widen(model_round(x));
    return model_round(x);
}

/* A split family, with what its unit adds up: tiles' products, or pairs one after the other. */
typedef struct {
    const fbp_kernels *base;
    const fbp_split_kernels *table;
    int isa, parts, in_tiles;
} split_family;

static inline int split_families(split_family out[FBP_N_ISAS * FBP_N_PRECISIONS])
{
    int n = 0;
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        for (int precision = 0; precision < FBP_N_PRECISIONS; precision++) {
            const fbp_split_kernels *table = fbp_split_find(isa, FBP_F32, precision);
#ifdef EMULATED
            if (!table || !table->enter) continue; /* the others run as well without */
#endif
            if (!table || !CHECK(fbp_split_start(isa), "%s does not start", fbp_isa_name(isa)))
                continue;
            out[n++] = (split_family){fbp_kernels_find(isa, FBP_F32), table, isa,
                                      fbp_parts(precision), table->enter != NULL};
        }
    return n;
}

/* Every precision ran in emulated tiles, and no thread holds a configuration any more. */
static inline void check_emulation(int n_families)
{
#ifdef EMULATED
    if (!fbp_isa_available(FBP_ISA_AVX512BF16)) { /* which splits the numbers for tiles */
        CHECK(n_families == 0, "%d families with tiles", n_families);
        return;
    }
    CHECK(n_families == FBP_N_PRECISIONS, "%d families with tiles", n_families);
    CHECK(amx_products() > 0, "no tile product was emulated");
    CHECK(amx_configured() == 0, "%d threads still hold tiles", amx_configured());
#else
    CHECK(n_families >= 0, "families are counted"); /* none at all, on other CPUs */
#endif
}

static inline void every_split_family(void (*test)(const split_family *f))
{
    split_family families[FBP_N_ISAS * FBP_N_PRECISIONS];
    const int n_families = split_families(families);
    flush_subnormals();
    for (int f = 0; f < n_families; f++)
        test(&families[f]);
    check_emulation(n_families);
}

/* Element (line, k) of part p of an operand with k_tiles tiles along k; left, or right in pairs. */
static inline int64_t tile_at(int parts, int64_t k_tiles, int right, int64_t line, int64_t k, int p)
{
    const int64_t tile = (line / 16 * k_tiles + k / 32) * parts + p;
    const int64_t inside =
        right ? k % 32 / 2 * 32 + line % 16 * 2 + k % 2 : line % 16 * 32 + k % 32;
    return tile * 512 + inside;
}

/* An operand [lines × k] in tiles; element (line, k) of it is values[line · line_step + k · k_step]. */
static inline buffer tiles_new(int parts, int right, int64_t lines, int64_t k, const float *values,
                               int64_t line_step, int64_t k_step)
{
    const int64_t k_tiles = fbp_ceil_div(k, 32);
    const int64_t n = fbp_ceil_div(lines, 16) * k_tiles * parts * 512;
    buffer b = buffer_of_bytes(sizeof(uint16_t) * (size_t)n);
    memset(b.data, 0, sizeof(uint16_t) * (size_t)n);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < k; j++)
            for (int p = 0; p < parts; p++)
                ((uint16_t *)b.data)[tile_at(parts, k_tiles, right, i, j, p)] =
                    model_part(values[i * line_step + j * k_step], p);
    b.n = n;
    return b;
}

/* Part p of a plain matrix [lines × k]; k up to whole tiles, whose rest is zero. */
static inline float *model_parts(int64_t lines, int64_t k, int p, const float *values,
                                 int64_t line_step, int64_t k_step)
{
    const int64_t padded = fbp_round_up(k, 32);
    float *parts = calloc((size_t)(lines * padded), sizeof(float));
    if (!parts) {
        perror("calloc");
        exit(2);
    }
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < k; j++)
            parts[i * padded + j] = model_widen(model_part(values[i * line_step + j * k_step], p));
    return parts;
}

#if defined(__x86_64__)
#define WITH_FMA __attribute__((target("fma")))
#else
#define WITH_FMA
#endif

/* What 32 of k add to a sum: a tile product, or 16 pairs one after the other. */
WITH_FMA static inline float model_dot32(int in_tiles, float sum, const float *x, const float *y)
{
    float even = 0, odd = 0;
    for (int i = 0; i < 32; i += 2)
        if (in_tiles) {
            even = __builtin_fmaf(x[i], y[i], even);
            odd = __builtin_fmaf(x[i + 1], y[i + 1], odd);
        } else {
            sum = __builtin_fmaf(x[i + 1], y[i + 1], sum);
            sum = __builtin_fmaf(x[i], y[i], sum);
        }
    return in_tiles ? sum + (even + odd) : sum;
}

/* sums [rows × n] of x [rows × k] and y [k × n], split; a step is from line to line, and along k. */
WITH_FMA static inline float *model_product(const split_family *f, int64_t rows, int64_t n,
                                            int64_t k, const float *x, int64_t x_step,
                                            int64_t x_k_step, const float *y, int64_t y_step,
                                            int64_t y_k_step)
{
    static const int order[FBP_MAX_PARTS][6][2] = {
        {{0, 0}}, {{0, 1}, {0, 0}, {1, 0}}, {{0, 2}, {1, 1}, {2, 0}, {0, 1}, {1, 0}, {0, 0}}};
    const int64_t padded = fbp_round_up(k, 32);
    const int n_products = f->parts * (f->parts + 1) / 2;
    float *a[FBP_MAX_PARTS], *b[FBP_MAX_PARTS];
    float *sums = calloc((size_t)(rows * n), sizeof(float));
    for (int p = 0; p < f->parts; p++) {
        a[p] = model_parts(rows, k, p, x, x_step, x_k_step);
        b[p] = model_parts(n, k, p, y, y_step, y_k_step);
    }
    for (int64_t at = 0; sums && at < rows * n; at++)
        for (int64_t k0 = 0; k0 < padded; k0 += 32)
            for (int i = 0; i < n_products; i++) {
                const int *now = order[f->parts - 1][i];
                sums[at] = model_dot32(f->in_tiles, sums[at], a[now[0]] + at / n * padded + k0,
                                       b[now[1]] + at % n * padded + k0);
            }
    for (int p = 0; p < f->parts; p++)
        free(a[p]), free(b[p]);
    return sums;
}

static inline int same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* n random floats in (−1, 1), with now and then a zero, a tiny or a large one. */
static inline float *floats_random(int64_t n)
{
    float *values = malloc(sizeof(float) * (size_t)(n > 0 ? n : 1));
    if (!values) {
        perror("malloc");
        exit(2);
    }
    for (int64_t i = 0; i < n; i++) {
        static const double scales[] = {1, 1, 1, 1, 1, 0, 1e-9, 1e9};
        values[i] = (float)(random_between(-1, 1) * scales[random_below(8)]);
    }
    return values;
}

/* Panels of a plain [rows × cols]. */
static inline panels panels_of(const fbp_kernels *k, int64_t rows, int64_t cols,
                               const float *values, int64_t filled)
{
    panels p = panels_new(k, FBP_F32, rows, cols);
    for (int64_t r = 0; r < filled; r++)
        for (int64_t c = 0; c < cols; c++)
            ((float *)p.b.data)[panels_at(&p, r, c)] = values[r * cols + c];
    return p;
}

#endif
