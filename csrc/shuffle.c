/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order of an epoch's rows: Fisher and Yates's shuffle (Durstenfeld, "Algorithm 235", 1964) with the
 * draws of NumPy's legacy generator, so that a seed gives scikit-learn's orders. For i from the last place
 * down: a random number in 0 … i, by masking 32 random bits and drawing again while the result is too
 * large; exchange both places.
 *
 * NumPy's own loop branches on every draw, and a quarter of the draws fails at random: 13 ns a row. Here
 * a failed draw exchanges place i with itself and leaves i where it is, without a branch.
 */
#include "internal.h"

/* The smallest 2ᵏ − 1 that is no less than i. */
static uint32_t mask_of(uint32_t i)
{
    uint32_t mask = i;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    return mask;
}

void fbp_shuffle(uint32_t first, uint32_t last, fbp_random_fn next, void *state, int64_t *order)
{
    uint32_t i = last;
    while (i > first) {
        const uint32_t mask = mask_of(i), half = mask >> 1;
        const uint32_t end = first > half ? first : half; /* down to which the mask stays */
        while (i > end) {
            const uint32_t drawn = next(state) & mask;
            const uint32_t hit = drawn <= i, j = hit ? drawn : i;
            const int64_t kept = order[j];
            order[j] = order[i];
            order[i] = kept;
            i -= hit;
        }
    }
}
