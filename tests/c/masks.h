/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dropout's masks in plain C: Philox4x32 with 7 rounds as its paper states it, one counter at a time.
 */
#ifndef MASKS_H
#define MASKS_H

#include <stdint.h>

static inline void philox(const uint32_t key[2], uint32_t x[4])
{
    uint32_t key_0 = key[0], key_1 = key[1];
    for (int round = 0; round < 7; round++) {
        const uint64_t p0 = UINT64_C(0xd2511f53) * x[0], p1 = UINT64_C(0xcd9e8d57) * x[2];
        const uint32_t x1 = x[1], x3 = x[3];
        x[0] = (uint32_t)(p1 >> 32) ^ x1 ^ key_0;
        x[1] = (uint32_t)p1;
        x[2] = (uint32_t)(p0 >> 32) ^ x3 ^ key_1;
        x[3] = (uint32_t)p0;
        key_0 += 0x9e3779b9u;
        key_1 += 0xbb67ae85u;
    }
}

/* A step's key of a layer: two words of another counter, under the seed. */
static inline void mask_key(uint64_t seed, int64_t step, int layer, uint32_t key[2])
{
    const uint32_t seed_key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t x[4] = {(uint32_t)step, (uint32_t)((uint64_t)step >> 32), (uint32_t)layer, 0};
    philox(seed_key, x);
    key[0] = x[0], key[1] = x[1];
}

/* 0 … 65,535, for one unit of one row. */
static inline uint32_t mask_number(const uint32_t key[2], int64_t row, int64_t unit)
{
    const uint64_t place = (uint64_t)unit % 64;
    const uint64_t counter = (uint64_t)unit / 64 * 8 + place % 16 / 2;
    uint32_t x[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)row,
                     (uint32_t)((uint64_t)row >> 32)};
    philox(key, x);
    const uint32_t word = x[place / 32 * 2 + place % 2];
    return place / 16 % 2 ? word >> 16 : word & 0xffff;
}

static inline double mask_threshold(double rate)
{
    const double nearest = (double)(int64_t)(rate * 65536 + 0.5);
    return rate == 0 ? 0 : nearest < 1 ? 1 : nearest > 65535 ? 65535 : nearest;
}

/* What an output is multiplied by. */
static inline double mask_factor(double rate, const uint32_t key[2], int64_t row, int64_t unit)
{
    const double threshold = mask_threshold(rate);
    if (threshold == 0) return 1;
    return mask_number(key, row, unit) < threshold ? 0 : 65536 / (65536 - threshold);
}

#endif
