/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To be preloaded: a system without memory for one module, once it is told so.
 *
 * An allocation is the module's if the return address lies in the module (OWN), or also if the stack,
 * from there outwards, comes to the module before it comes to Python's interpreter loop, or to code
 * that is exempt (BEHALF): then Python's C code allocates for the module. The module's allocations
 * are counted from 0; that number `at` fails, or all from there on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unwind.h>

enum { NONE, OWN, BEHALF };
enum { MOST_FRAMES = 60, MOST_EXEMPT = 8 };
typedef struct {
    uintptr_t begin, end;
} range;

static range module, exempt[MOST_EXEMPT]; /* what comes from code there is left alone */
static int n_exempt;
static void *interpreter; /* Python's loop */
static atomic_int whose, lasting, loses;
static atomic_long at, seen, failed;
static _Thread_local int walking;

static int lies_in(range r, uintptr_t address) { return r.begin <= address && address < r.end; }

void watch_module(uintptr_t begin, uintptr_t end) { module = (range){begin, end}; }

void exempt_code(uintptr_t begin, uintptr_t end)
{
    if (n_exempt < MOST_EXEMPT) exempt[n_exempt++] = (range){begin, end};
}

void fail_allocations(int of_whom, long first, int all_from_there)
{
    interpreter = dlsym(RTLD_DEFAULT, "_PyEval_EvalFrameDefault");
    at = first;
    lasting = all_from_there;
    seen = failed = 0;
    whose = of_whom;
}

long stop_failing(void)
{
    whose = NONE;
    return failed;
}

long allocations_seen(void) { return seen; }

/* Whether what the module frees is lost instead: a leak to be found. */
void lose_blocks(int yes) { loses = yes; }

/* The planted fault: like a module that does not look at what it is given. */
void *careless(size_t size) { return memset(malloc(size), 1, size); }

typedef struct {
    int n_frames, is_module;
} walk;

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument)
{
    walk *w = argument;
    const uintptr_t address = _Unwind_GetIP(context) - 1;
    for (int i = 0; i < n_exempt; i++)
        if (lies_in(exempt[i], address)) return _URC_END_OF_STACK;
    w->is_module = lies_in(module, address);
    if (w->is_module || ++w->n_frames > MOST_FRAMES) return _URC_END_OF_STACK;
    const void *function = _Unwind_FindEnclosingFunction((void *)address);
    return function == interpreter ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static int is_for_module(uintptr_t caller)
{
    if (lies_in(module, caller)) return 1;
    if (whose != BEHALF || walking) return 0;
    walk w = {0, 0};
    walking = 1;
    _Unwind_Backtrace(visit, &w);
    walking = 0;
    return w.is_module;
}

static int fails(void *caller)
{
    if (whose == NONE || !is_for_module((uintptr_t)caller - 1)) return 0;
    const long number = atomic_fetch_add(&seen, 1);
    if (lasting ? number < at : number != at) return 0;
    atomic_fetch_add(&failed, 1);
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)

static _Thread_local int finding;

/* The next library's function of that name, which may be a sanitizer's. */
static void *next_of(_Atomic(void *) *kept, const char *name)
{
    if (!*kept) {
        finding = 1;
        *kept = dlsym(RTLD_NEXT, name);
        finding = 0;
    }
    return *kept;
}
#define NEXT(type, name, ...)    \
    static _Atomic(void *) kept; \
    type (*next)(__VA_ARGS__);   \
    *(void **)&next = next_of(&kept, name)

void *malloc(size_t size)
{
    NEXT(void *, "malloc", size_t);
    return fails(CALLER) ? NULL : next(size);
}

void *calloc(size_t count, size_t size)
{
    NEXT(void *, "calloc", size_t, size_t);
    return fails(CALLER) ? NULL : next(count, size);
}

void *realloc(void *block, size_t size)
{
    NEXT(void *, "realloc", void *, size_t);
    return fails(CALLER) ? NULL : next(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    NEXT(void *, "aligned_alloc", size_t, size_t);
    return fails(CALLER) ? NULL : next(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    NEXT(int, "posix_memalign", void **, size_t, size_t);
    return fails(CALLER) ? ENOMEM : next(block, alignment, size);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    NEXT(void *, "mmap", void *, size_t, int, int, int, off_t);
    return fails(CALLER) ? MAP_FAILED : next(address, size, protection, flags, file, offset);
}

void free(void *block)
{
    if (finding) return; /* dlsym frees the message of an earlier error */
    NEXT(void, "free", void *);
    if (!loses || !lies_in(module, (uintptr_t)CALLER - 1)) next(block);
}
