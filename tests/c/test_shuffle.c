/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of the rows: every exchange that the plain algorithm makes, whole and in pieces. */
#include "check.h"
#include "fbp.h"

/* Xorshift (Marsaglia, 2003): any generator will do. */
static uint32_t next_random(void *state)
{
    uint32_t x = *(uint32_t *)state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *(uint32_t *)state = x;
}

/* The plain algorithm: draw until it fits, then exchange. */
static void shuffle_plainly(int64_t n, uint32_t *state, int64_t *order)
{
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t mask = 1, drawn;
        while (mask < i)
            mask = 2 * mask + 1;
        do
            drawn = next_random(state) & mask;
        while (drawn > i);
        const int64_t kept = order[drawn];
        order[drawn] = order[i];
        order[i] = kept;
    }
}

static void test_shuffle(int64_t n, uint32_t piece)
{
    int64_t *expected = malloc(sizeof(int64_t) * (size_t)n),
            *order = malloc(sizeof(int64_t) * (size_t)n);
    uint32_t expected_state = 2463534242, state = expected_state;
    for (int64_t i = 0; expected && order && i < n; i++)
        expected[i] = order[i] = i;
    if (expected && order) {
        shuffle_plainly(n, &expected_state, expected);
        for (uint32_t last = (uint32_t)n - 1; last > 0;) {
            const uint32_t first = last > piece ? last - piece : 0;
            fbp_shuffle(first, last, next_random, &state, order);
            last = first;
        }
        CHECK(!memcmp(order, expected, sizeof(int64_t) * (size_t)n),
              "%d places, %u at a time: another order", (int)n, piece);
        CHECK(state == expected_state, "%d places: another number of draws", (int)n);
    }
    free(expected);
    free(order);
}

int main(void)
{
    for (int64_t n = 1; n <= 300; n++)
        for (uint32_t piece = 1; piece <= 300; piece += 13)
            test_shuffle(n, piece);
    test_shuffle(100000, UINT32_MAX);
    test_shuffle(100000, 777);
    return check_done("shuffle");
}
