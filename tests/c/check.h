/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every C test uses: checks that count, random numbers, and buffers that show a stray access.
 *
 * A test program calls CHECK many times and ends with `return check_done(name);`, which prints
 * "name: N passed, N failed". Only the first failures are printed in words. Where fewer_cases(), the
 * longest sweeps repeat less; every family, number type and branch is still met.
 */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fbp.h"

#define MAX_FAILURES_SHOWN 20

static int64_t n_passed, n_failed;

static inline int check_that(int ok, const char *file, int line, const char *format, ...)
{
    if (ok) {
        n_passed++;
        return 1;
    }
    if (n_failed++ < MAX_FAILURES_SHOWN) {
        va_list arguments;
        va_start(arguments, format);
        fprintf(stderr, "%s:%d: failed: ", file, line);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
    }
    return 0;
}

/* CHECK(condition, "words with %d", values): the words say what was wrong. */
#define CHECK(ok, ...) check_that((ok) != 0, __FILE__, __LINE__, __VA_ARGS__)

static inline int check_done(const char *name)
{
    printf("%s: %lld passed, %lld failed\n", name, (long long)n_passed, (long long)n_failed);
    return n_failed > 0 || n_passed == 0;
}

/* Sanitizers and emulators cost a program ten times its time; the Makefile tells it of them. */
static inline int fewer_cases(void) { return getenv("FBP_FEWER_CASES") != NULL; }

/* A multiply-xorshift generator (splitmix64), the same numbers on every machine. */
static uint64_t random_state = 1;

static inline uint64_t random_bits(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline double random_unit(void) /* in [0, 1) */
{
    return (double)(random_bits() >> 11) * 0x1p-53;
}

static inline double random_between(double low, double high)
{
    return low + (high - low) * random_unit();
}

static inline int64_t random_below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }

/*
 * A buffer of n reals that lies flush against a page which may not be touched: behind it, or with
 * flush_front before it. At its other end are known bytes, up to another such page. It is filled with NaNs,
 * so that what nobody wrote is told.
 */
#define SLACK_BYTE 0xa5
#define POISON_BYTE 0xff /* in every byte: a NaN in float and in double, −1 in integers */

static int flush_front;

typedef struct {
    unsigned char *mapping, *slack;
    size_t mapped_bytes, slack_bytes;
    void *data;
    int64_t n;
    int real; /* fbp_real */
} buffer;

static inline size_t real_bytes(int real)
{
    return real == FBP_F32 ? sizeof(float) : sizeof(double);
}

static inline buffer buffer_of_bytes(size_t bytes)
{
    buffer b = {0};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t body = (bytes + page - 1) / page * page;
    b.mapped_bytes = body + 2 * page;
    b.slack_bytes = body - bytes;
    b.mapping = mmap(NULL, b.mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.mapping == MAP_FAILED ||
        (body > 0 && mprotect(b.mapping + page, body, PROT_READ | PROT_WRITE) != 0)) {
        perror("mmap");
        exit(2);
    }
    unsigned char *begin = b.mapping + page;
    b.data = flush_front ? begin : begin + b.slack_bytes;
    b.slack = flush_front ? begin + bytes : begin;
    memset(b.slack, SLACK_BYTE, b.slack_bytes);
    memset(b.data, POISON_BYTE, bytes);
    return b;
}

static inline buffer buffer_new(int real, int64_t n)
{
    buffer b = buffer_of_bytes((size_t)n * real_bytes(real));
    b.n = n;
    b.real = real;
    return b;
}

static inline void buffer_free(buffer *b)
{
    size_t touched = 0;
    for (size_t i = 0; i < b->slack_bytes; i++)
        touched += b->slack[i] != SLACK_BYTE;
    CHECK(touched == 0, "%zu bytes beside a buffer were written", touched);
    munmap(b->mapping, b->mapped_bytes);
    memset(b, 0, sizeof *b);
}

/* Programs with a long form take one argument. */
static inline int is_exhaustive(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], "--exhaustive") == 0;
}

#define EVERY_SIZE 33 /* in the long form of products, each of three sizes up to it */
#define N_LARGE 2000  /* and so many beyond it */

static inline double get(const buffer *b, int64_t i)
{
    return b->real == FBP_F32 ? (double)((const float *)b->data)[i] : ((const double *)b->data)[i];
}

static inline void put(buffer *b, int64_t i, double value)
{
    if (b->real == FBP_F32)
        ((float *)b->data)[i] = (float)value;
    else
        ((double *)b->data)[i] = value;
}

/* value as it is once stored in a real. */
static inline double rounded(int real, double value)
{
    return real == FBP_F32 ? (double)(float)value : value;
}

/* Half the distance from 1 to the next real: the relative error of one rounding. */
static inline double unit_roundoff(int real) { return real == FBP_F32 ? 0x1p-24 : 0x1p-53; }

static inline int same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static inline const char *real_name(int real) { return real == FBP_F32 ? "f32" : "f64"; }

/* Subnormals are zero inside the core; a test that calls kernels itself says so first. */
static inline void flush_subnormals(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr | (UINT64_C(1) << 24)));
#endif
}

#endif
