/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One block of memory, planned, then carved. The same code runs twice: with base NULL it only adds
 * up sizes, checking for overflow; with base set it hands out addresses.
 */
#ifndef FBP_ARENA_H
#define FBP_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *base;
    size_t used;
    int overflow;
} fbp_arena;

/** A cache-line aligned piece of count × bytes, with a cache line of slack behind it.
 *  Threads any · Memory none allocated · Returns the address, or NULL while planning */
void *fbp_arena_take(fbp_arena *arena, int64_t count, size_t bytes);

/** Allocate the planned block, all zeros.
 *  owner  out: the address to free()
 *  Threads any · Memory one calloc · Returns 0 when it cannot be had, else 1; used is 0 again */
int fbp_arena_allocate(fbp_arena *arena, void **owner);

/** Give the whole pages of a part of the block back to the system, where it takes them; what they
 *  held is then lost.
 *  Threads any · Memory stays allocated, without taking up any · Returns nothing */
void fbp_arena_release(char *begin, char *end);

#endif
