/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See arena.h. calloc rather than aligned_alloc and memset: a large net's zero pages are then made by
 * the kernel when first touched, by the thread that touches them.
 */
#include "arena.h"

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#define ALIGNMENT ((size_t)64)
#define LARGE_BYTES ((size_t)4 * 1024 * 1024)

/* A vector read may start at the last element: the slack keeps it inside the block. */
#define SLACK ALIGNMENT

void *fbp_arena_take(fbp_arena *arena, int64_t count, size_t bytes)
{
    const size_t limit = (size_t)PTRDIFF_MAX - 4 * ALIGNMENT;
    if (count < 0 || (bytes && (uint64_t)count > limit / bytes)) {
        arena->overflow = 1;
        return NULL;
    }
    const size_t size = ((size_t)count * bytes + SLACK + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (arena->overflow || size > limit - arena->used) {
        arena->overflow = 1;
        return NULL;
    }
    char *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += size;
    return piece;
}

/* Ask for huge pages, where there are such: a net of 100 MB is first touched in a few dozen faults
 * instead of 25,000, each of which takes microseconds in a virtual machine. */
static void advise_large(char *block, size_t size)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)block + page - 1) / page * page;
    if (size >= LARGE_BYTES)
        (void)madvise((void *)first, (uintptr_t)block + size - first, MADV_HUGEPAGE);
#else
    (void)block, (void)size;
#endif
}

int fbp_arena_allocate(fbp_arena *arena, void **owner)
{
    if (arena->overflow) return 0;
    const size_t size = arena->used + ALIGNMENT;
    char *block = calloc(size, 1);
    if (!block) return 0;
    advise_large(block, size);
    *owner = block;
    arena->base = block + (ALIGNMENT - (uintptr_t)block % ALIGNMENT) % ALIGNMENT;
    arena->used = 0;
    return 1;
}

void fbp_arena_release(char *begin, char *end)
{
#ifdef __linux__
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)begin + page - 1) / page * page;
    const uintptr_t last = (uintptr_t)end / page * page;
    /* Where the system declines, the memory just stays. */
    if (first < last) (void)madvise((void *)first, last - first, MADV_DONTNEED);
#else
    (void)begin, (void)end;
#endif
}
