/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dropout's kernel in every family: its random words against the published ones and a plain Philox,
 * bit for bit; what it drops and scales, against the same; and the statistics of the numbers, which
 * must look independent along units, rows, layers, steps and seeds.
 */
#include "kernels.h"
#include "masks.h"

/* Known answers of Random123 1.14 for philox4x32 with 7 rounds: counter, key, words. */
static const struct {
    uint32_t counter[4], key[2], words[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a}},
};

/* The kernel's words of counter (counter, row). */
static void words_of(const fbp_kernels *k, const uint32_t key[2], uint64_t counter, uint64_t row,
                     uint32_t out[4])
{
    uint32_t words[32];
    const uint64_t j = counter % 8;
    k->random_words(key, counter - j, row, words);
    for (int i = 0; i < 4; i++)
        out[i] = words[i / 2 * 16 + 2 * j + (uint64_t)(i % 2)];
}

static void test_words(const fbp_kernels *k, const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const uint32_t *c = known[i].counter;
        uint32_t words[4];
        words_of(k, known[i].key, c[0] | (uint64_t)c[1] << 32, c[2] | (uint64_t)c[3] << 32, words);
        CHECK(memcmp(words, known[i].words, sizeof words) == 0, "%s: known answer %zu", name, i);
    }
    for (int i = 0; i < 2000; i++) {
        const uint64_t counter = random_bits() >> random_below(64);
        const uint64_t row = random_bits() >> random_below(64), bits = random_bits();
        const uint32_t key[2] = {(uint32_t)bits, (uint32_t)(bits >> 32)};
        uint32_t words[4], expected[4] = {(uint32_t)counter, (uint32_t)(counter >> 32),
                                          (uint32_t)row, (uint32_t)(row >> 32)};
        words_of(k, key, counter, row, words);
        philox(key, expected);
        CHECK(memcmp(words, expected, sizeof words) == 0, "%s: counter %llx, row %llx", name,
              (unsigned long long)counter, (unsigned long long)row);
    }
}

/* Some rows and panels, as a cell of the rows phase has them; what surrounds them stays. */
static void test_drop(const family *f, int real, int64_t rows, int64_t n, int64_t first_panel,
                      int64_t row, double rate)
{
    const fbp_kernels *k = f->table;
    const int64_t first = first_panel * k->nr;
    fbp_dropout dropout = {
        {(uint32_t)random_bits(), 7}, mask_threshold(rate), 65536 / (65536 - mask_threshold(rate))};
    panels matrices[2];
    double *values[2], *out = matrix_new(rows * n);
    for (int i = 0; i < 2; i++) {
        values[i] = matrix_random(real, rows * n, REALS);
        values[i][0] = INFINITY, values[i][rows * n - 1] = NAN;
        matrices[i] = panels_new(k, real, rows, n);
        panels_fill(&matrices[i], values[i], rows, NAN);
    }
    k->drop(rows, n, &dropout, row, first, matrices[0].b.data, matrices[1].b.data,
            matrices[0].stride);
    int64_t wrong = 0;
    for (int i = 0; i < 2; i++) {
        panels_read(&matrices[i], rows, out);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < n; c++) {
                const double factor = mask_factor(rate, dropout.key, row + r, first + c);
                const double value = values[i][r * n + c];
                const double kept =
                    real == FBP_F32 ? (double)((float)value * (float)factor) : value * factor;
                wrong += !same_bits(out[r * n + c], factor == 0 ? 0 : kept);
            }
        buffer_free(&matrices[i].b);
        free(values[i]);
    }
    CHECK(wrong == 0, "%s %s: drop %lld x %lld, rate %g: %lld wrong", fbp_isa_name(f->isa),
          real_name(real), (long long)rows, (long long)n, rate, (long long)wrong);
    free(out);
}

static void test_family(const family *f, int real)
{
    static const int64_t widths[] = {1, 7, 16, 17, 63, 64, 65, 100, 130, 257};
    static const double rates[] = {1e-9, 0.1, 0.5, 1 - 1e-9};
    char name[40];
    snprintf(name, sizeof name, "%s %s", fbp_isa_name(f->isa), real_name(real));
    test_words(f->table, name);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t j = 0; j < sizeof rates / sizeof *rates; j++)
            for (int64_t panel = 0; panel < 6; panel++)
                test_drop(f, real, f->table->mr * (1 + panel % 2), widths[i], panel,
                          panel == 5 ? INT64_C(1) << 33 : panel * 4096, rates[j]);
}

/* The statistics' numbers lie on a grid of all that makes a key or a counter. */
#define N_UNITS 192
#define N_ROWS 96
#define N_KEYS 64 /* of seeds 1 … 4, steps 0 … 3, layers 0 … 3 */
#define N_NUMBERS (N_UNITS * N_ROWS * N_KEYS)

static uint16_t numbers[N_NUMBERS];

static void draw_grid(const fbp_kernels *k)
{
    for (int at = 0; at < N_KEYS; at++)
        for (int64_t row = 0; row < N_ROWS; row++)
            for (int64_t group = 0; group < N_UNITS / 64; group++) {
                uint32_t key[2], words[32];
                mask_key(1 + (uint64_t)at / 16, at / 4 % 4, at % 4, key);
                k->random_words(key, (uint64_t)group * 8, (uint64_t)row, words);
                uint16_t *out = numbers + (at * N_ROWS + row) * N_UNITS + group * 64;
                for (int i = 0; i < 16; i++) {
                    out[i] = (uint16_t)words[i], out[16 + i] = (uint16_t)(words[i] >> 16);
                    out[32 + i] = (uint16_t)words[16 + i];
                    out[48 + i] = (uint16_t)(words[16 + i] >> 16);
                }
            }
}

/* How many standard deviations a sum of n fair coins is from n / 2. */
static double deviation_of(int64_t heads, int64_t n)
{
    return fabs((double)heads - 0.5 * (double)n) / sqrt(0.25 * (double)n);
}

/* Every bit as often 0 as 1; and the 65,536 numbers, in 256 classes by either byte, equally often. */
static void test_frequencies(void)
{
    for (int bit = 0; bit < 16; bit++) {
        int64_t ones = 0;
        for (int64_t i = 0; i < N_NUMBERS; i++)
            ones += numbers[i] >> bit & 1;
        CHECK(deviation_of(ones, N_NUMBERS) < 4, "bit %d: %lld ones", bit, (long long)ones);
    }
    for (int shift = 0; shift <= 8; shift += 8) {
        int64_t counts[256] = {0};
        double chi_square = 0;
        const double expected = N_NUMBERS / 256.0;
        for (int64_t i = 0; i < N_NUMBERS; i++)
            counts[numbers[i] >> shift & 255]++;
        for (int i = 0; i < 256; i++)
            chi_square += ((double)counts[i] - expected) * ((double)counts[i] - expected);
        chi_square /= expected; /* 255 degrees of freedom: about normal, deviation √510 */
        CHECK(fabs(chi_square - 255) < 4 * sqrt(510), "byte %d: χ² %g", shift / 8, chi_square);
    }
}

/* Whether each bit, and dropping at some rates, is independent of the same `distance` further. */
static void test_pairs(const char *along, int64_t distance, int64_t period)
{
    static const double rates[] = {0.1, 0.5, 0.9};
    int64_t n = 0, equal[16] = {0}, both[3] = {0};
    for (int64_t i = 0; i + distance < N_NUMBERS; i++) {
        if (i % period + distance >= period) continue;
        const uint16_t x = numbers[i], y = numbers[i + distance];
        n++;
        for (int bit = 0; bit < 16; bit++)
            equal[bit] += !((x ^ y) >> bit & 1);
        for (int j = 0; j < 3; j++)
            both[j] += x < mask_threshold(rates[j]) && y < mask_threshold(rates[j]);
    }
    for (int bit = 0; bit < 16; bit++)
        CHECK(deviation_of(equal[bit], n) < 4.5, "bit %d along %s, %lld apart: %lld of %lld equal",
              bit, along, (long long)distance, (long long)equal[bit], (long long)n);
    for (int j = 0; j < 3; j++) {
        const double p = mask_threshold(rates[j]) / 65536, expected = p * p * (double)n;
        /* Both ends' numbers may recur in other pairs: the variance is n·(p² − p⁴) + 2n·(p³ − p⁴). */
        const double variance = (double)n * (p * p + 2 * p * p * p - 3 * p * p * p * p);
        CHECK(fabs((double)both[j] - expected) < 4.5 * sqrt(variance),
              "rate %g along %s, %lld apart: %lld both dropped, expected %.0f", rates[j], along,
              (long long)distance, (long long)both[j], expected);
    }
}

/* Along a unit's neighbours, the rows, and (by keys) the layers, steps and seeds. */
static void test_statistics(const fbp_kernels *k)
{
    const int64_t rows = (int64_t)N_UNITS * N_ROWS;
    draw_grid(k);
    test_frequencies();
    static const int64_t units[] = {1, 2, 3, 8, 15, 16, 17, 32, 48, 64, 128};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        test_pairs("units", units[i], N_UNITS);
    static const int64_t apart[] = {1, 2, 4, 8, 16, 32, 64};
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++)
        test_pairs("rows", apart[i] * N_UNITS, rows);
    test_pairs("rows and units", N_UNITS + 1, rows);
    for (int64_t i = 1; i < 4; i++) {
        test_pairs("layers", i * rows, 4 * rows);
        test_pairs("steps", i * 4 * rows, 16 * rows);
        test_pairs("seeds", i * 16 * rows, 64 * rows);
        test_pairs("layers and steps", i * 5 * rows, 16 * rows);
    }
}

int main(void)
{
    flush_subnormals();
    for (int real = FBP_F32; real <= FBP_F64; real++) {
        family families[FBP_N_ISAS];
        const int n_families = families_of(real, families);
        for (int f = 0; f < n_families; f++)
            test_family(&families[f], real);
        if (real == FBP_F32) test_statistics(families[n_families - 1].table);
    }
    return check_done("dropout");
}
