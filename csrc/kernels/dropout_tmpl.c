/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dropout: which units of which rows are left out of a step, and doing it.
 *
 * The random numbers are those of Philox4x32 with 7 rounds, a bijection of a 128-bit counter under a
 * 64-bit key whose outputs pass BigCrush (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", 2011). The key says seed, step and layer (dropout.c), the counter says the row in
 * its batch and eight units: so a unit's number is a function of where it is, and needs no state.
 *
 * A counter gives four words of 32 bits, each two numbers of 16 bits. Numbers of 64 units come from
 * eight counters j = 0 … 7 at once, in the order that costs a vector of words least:
 *
 *     unit 16s + 2j + i: of counter j the words 2(s / 2) + i; their low halves if s is even
 *
 * A word rests in the low half of a lane of 64 bits: what is above it, the next product does not read.
 */

#define PHILOX_ROUNDS 7
#define UNITS_AT_ONCE 64

typedef union {
    uint64_t pairs[UNITS_AT_ONCE / 4];
    uint32_t words[UNITS_AT_ONCE / 2];
} random_words;

static const uint64_t first_lanes[8] = {0, 1, 2, 3, 4, 5, 6, 7};

typedef struct {
    vw of_round[PHILOX_ROUNDS][2];
} round_keys;

static ALWAYS_INLINE round_keys spread_key(const uint32_t key[2])
{
    round_keys keys;
    for (uint32_t round = 0; round < PHILOX_ROUNDS; round++) {
        keys.of_round[round][0] = vw_set1((uint64_t)(uint32_t)(key[0] + round * 0x9e3779b9u));
        keys.of_round[round][1] = vw_set1((uint64_t)(uint32_t)(key[1] + round * 0xbb67ae85u));
    }
    return keys;
}

/* The words of counters (first + j, row), first a multiple of 8. */
static ALWAYS_INLINE void draw_words(const round_keys *keys, uint64_t first, uint64_t row,
                                     random_words *out)
{
    const vw multiplier_0 = vw_set1(0xd2511f53u), multiplier_1 = vw_set1(0xcd9e8d57u);
    UNROLL
    for (int j = 0; j < 8; j += VW_LANES) {
        vw x0 = vw_add(vw_set1(first), vw_load(first_lanes + j)), x1 = vw_set1(first >> 32);
        vw x2 = vw_set1(row), x3 = vw_set1(row >> 32);
        UNROLL
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            const vw p0 = vw_mul_low(x0, multiplier_0), p1 = vw_mul_low(x2, multiplier_1);
            x0 = vw_xor(vw_xor(vw_high(p1), x1), keys->of_round[round][0]);
            x2 = vw_xor(vw_xor(vw_high(p0), x3), keys->of_round[round][1]);
            x1 = p1;
            x3 = p0;
        }
        vw_store(out->pairs + j, vw_zip_low(x0, x1));
        vw_store(out->pairs + 8 + j, vw_zip_low(x2, x3));
    }
}

/* The numbers of 64 units, in their order, as reals. */
static ALWAYS_INLINE void draw_numbers(const round_keys *keys, int64_t unit, int64_t row, real *out)
{
    random_words drawn;
    draw_words(keys, (uint64_t)unit / 8, (uint64_t)row, &drawn);
    for (int i = 0; i < 16; i++) {
        out[i] = (real)(int32_t)(drawn.words[i] & 0xffff);
        out[16 + i] = (real)(int32_t)(drawn.words[i] >> 16);
    }
    for (int i = 16; i < 32; i++) {
        out[16 + i] = (real)(int32_t)(drawn.words[i] & 0xffff);
        out[32 + i] = (real)(int32_t)(drawn.words[i] >> 16);
    }
}

/* Zero if dropped, else scaled. A select, so that an infinity that is dropped leaves no NaN. */
static ALWAYS_INLINE void drop_vector(vm dropped, vf scale, real *x)
{
    vf_store(x, vf_select(dropped, vf_set1(0), vf_mul(vf_load(x), scale)));
}

/* Units first … first + n − 1, first a multiple of NR, of rows of panels a and slopes. */
static void KERNEL(drop)(int64_t rows, int64_t n, const fbp_dropout *dropout, int64_t row,
                         int64_t first, void *a, void *slopes, int64_t stride)
{
    const vf threshold = vf_set1((real)dropout->threshold), scale = vf_set1((real)dropout->scale);
    const round_keys keys = spread_key(dropout->key);
    real numbers[UNITS_AT_ONCE];
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * NR, column = 0; /* where unit is */
        for (int64_t unit = first; unit < first + n;) {
            const int64_t group = unit / UNITS_AT_ONCE * UNITS_AT_ONCE;
            const int64_t end = fbp_min(first + n, group + UNITS_AT_ONCE);
            draw_numbers(&keys, group, row + r, numbers);
            for (; unit < end; unit += VF_LANES) {
                const vm dropped = vf_lt(vf_load(numbers + (unit - group)), threshold);
                drop_vector(dropped, scale, (real *)a + at + column);
                drop_vector(dropped, scale, (real *)slopes + at + column);
                column += VF_LANES;
                if (column < NR) continue;
                column = 0;
                at += stride;
            }
        }
    }
}

/* The words themselves, for tests. */
static void KERNEL(random_words)(const uint32_t key[2], uint64_t first, uint64_t row, uint32_t *out)
{
    random_words drawn;
    const round_keys keys = spread_key(key);
    draw_words(&keys, first, row, &drawn);
    for (int i = 0; i < UNITS_AT_ONCE / 2; i++)
        out[i] = drawn.words[i];
}
