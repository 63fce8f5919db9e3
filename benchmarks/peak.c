/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What this machine can do at best: ./peak THREADS SECONDS [SET]
 *
 * Prints one JSON object. "gflops" maps each instruction set that runs here (or SET alone) to GFLOP/s
 * on one thread and on THREADS at once; without SET there are also "memory_gbs" and "l3_gbs", read
 * bandwidths likewise, "barrier_us" and "region_us", an OpenMP barrier and an empty parallel region
 * on THREADS.
 *
 * Every figure is the best of five runs, SECONDS in all on each number of threads, because a limit is
 * asked for: other programs on the machine can only make it look lower. Accumulators are independent
 * and more than latency × ports, so that the multiply-add units are the only bound. Features are asked
 * of CPUID, and of XGETBV and the kernel, whether the system saves the registers.
 */
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define MAX_THREADS 1024
#define BEST_OF 5
#define PAGE 4096
#define N_BARRIERS 100

/* A load runs n_rounds rounds and returns a number that depends on all of them. */
typedef double (*load_fn)(long n_rounds);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Multiply-add loads: a round is one step of each of 12 accumulators, in registers that are named,
 * because a compiler may keep an array of them in memory. All numbers are zero, which no unit minds. */
#if defined(__x86_64__)
#define NEXT_ROUND "dec %0\n\tjnz 1b\n\t"
#define REGISTERS                                                                            \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "cc"
#else
#define NEXT_ROUND "subs %0, %0, #1\n\tb.ne 1b\n\t"
#define REGISTERS \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "cc"
#endif
#define ROUNDS_OF(OPERATION)                                                               \
    "1:\n\t" OPERATION(1) OPERATION(2) OPERATION(3) OPERATION(4) OPERATION(5) OPERATION(6) \
        OPERATION(7) OPERATION(8) OPERATION(9) OPERATION(10) OPERATION(11) OPERATION(12)   \
            NEXT_ROUND
#define DEFINE_LOAD(NAME, CLEAR, OPERATION)                                                       \
    static double NAME(long n_rounds)                                                             \
    {                                                                                             \
        __asm__ volatile(CLEAR(0) CLEAR(1) CLEAR(2) CLEAR(3) CLEAR(4) CLEAR(5) CLEAR(6) CLEAR(7)  \
                             CLEAR(8) CLEAR(9) CLEAR(10) CLEAR(11) CLEAR(12) ROUNDS_OF(OPERATION) \
                         : "+r"(n_rounds)                                                         \
                         :                                                                        \
                         : REGISTERS);                                                            \
        return 0;                                                                                 \
    }
#define OPERATIONS(LANES) (12 * (LANES)*2) /* of a round */

#if defined(__x86_64__)
#define CLEAR_SSE(i) "xorps %%xmm" #i ", %%xmm" #i "\n\t"
#define CLEAR_AVX(i) "vxorps %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
/* Without FMA a multiplication and an addition. */
#define STEP_SSE2(i) "mulps %%xmm0, %%xmm" #i "\n\taddps %%xmm0, %%xmm" #i "\n\t"
#define STEP_AVX2(i) "vfmadd231ps %%ymm0, %%ymm0, %%ymm" #i "\n\t"
#define STEP_AVX512(i) "vfmadd231ps %%zmm0, %%zmm0, %%zmm" #i "\n\t"
#define STEP_AVX512BF16(i) "vdpbf16ps %%zmm0, %%zmm0, %%zmm" #i "\n\t"
DEFINE_LOAD(run_sse2, CLEAR_SSE, STEP_SSE2)
DEFINE_LOAD(run_avx2, CLEAR_AVX, STEP_AVX2)
DEFINE_LOAD(run_avx512, CLEAR_AVX, STEP_AVX512)
DEFINE_LOAD(run_avx512bf16, CLEAR_AVX, STEP_AVX512BF16)

#if !defined(NO_TILES) /* for an assembler that does not know them */
/* 2 × 2 accumulators, two tiles of each operand: 16 rows of 64 bytes each. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static double run_amx_bf16(long n_rounds)
{
    tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++)
        config.row_bytes[t] = 64, config.rows[t] = 16;
    static const char zeros[1024];
    float out[256];
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
    __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tileloadd (%0,%1,1), %%tmm4\n\ttileloadd (%0,%1,1), %%tmm5\n\t"
                     "tileloadd (%0,%1,1), %%tmm6\n\ttileloadd (%0,%1,1), %%tmm7" ::"r"(zeros),
                     "r"((size_t)64)
                     : "memory");
    for (long r = 0; r < n_rounds; r++)
        __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm7, %tmm4, %tmm1\n\t"
                         "tdpbf16ps %tmm6, %tmm5, %tmm2\n\ttdpbf16ps %tmm7, %tmm5, %tmm3");
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilerelease" ::"r"(out), "r"((size_t)64)
                     : "memory");
    return out[0];
}
#endif

/* Which register states the system saves: bits of XCR0. */
#define SAVES_AVX 0x6u
#define SAVES_AVX512 0xe6u
#define SAVES_TILES 0x60000u

static uint32_t saved_states(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0; /* no OSXSAVE */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static int saves(uint32_t states) { return (saved_states() & states) == states; }

static int has_sse2(void) { return 1; }

static int has_avx2(void)
{
    uint32_t a, b, c, d, fma = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) fma = c >> 12 & 1;
    return fma && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 5 & 1) && saves(SAVES_AVX);
}

static int has_avx512(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 16 & 1) && saves(SAVES_AVX512);
}

static int has_avx512bf16(void)
{
    uint32_t a, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

#if !defined(NO_TILES)
static int has_amx_bf16(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!(d >> 22 & 1) || !(d >> 24 & 1) || !saves(SAVES_TILES)) return 0;
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return 0;
#endif
}
#endif

static const struct {
    const char *name;
    int (*available)(void);
    load_fn run;
    double operations; /* of a round */
} SETS[] = {
    {"sse2", has_sse2, run_sse2, OPERATIONS(4)},
    {"avx2", has_avx2, run_avx2, OPERATIONS(8)},
    {"avx512", has_avx512, run_avx512, OPERATIONS(16)},
    {"avx512bf16", has_avx512bf16, run_avx512bf16, OPERATIONS(32)},
#if !defined(NO_TILES)
    {"amx", has_amx_bf16, run_amx_bf16, 4.0 * 16 * 16 * 32 * 2},
#endif
};
#elif defined(__aarch64__)
#define CLEAR_NEON(i) "movi v" #i ".4s, #0\n\t"
#define STEP_NEON(i) "fmla v" #i ".4s, v0.4s, v0.4s\n\t"
DEFINE_LOAD(run_neon, CLEAR_NEON, STEP_NEON)

static int has_neon(void) { return 1; }

static const struct {
    const char *name;
    int (*available)(void);
    load_fn run;
    double operations;
} SETS[] = {{"neon", has_neon, run_neon, OPERATIONS(4)}};
#else
#error "peak.c knows x86-64 and aarch64"
#endif

static volatile double sink;

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rounds that keep one thread busy for so long, by its own clock; it warms clock and caches up. */
static long rounds_in(load_fn run, double seconds)
{
    for (long n_rounds = 1;; n_rounds *= 2) {
        double start = cpu_now();
        sink = run(n_rounds);
        if (cpu_now() - start >= seconds) return n_rounds;
    }
}

typedef struct {
    double best, mean; /* rounds per second, all threads together */
} rates;

/* Each thread does n_rounds, as many times as best_of says. The mean is over all that time: what the
 * machine sustains, its neighbours and its clock included. */
static rates measure_rates(load_fn run, int n_threads, long n_rounds, int best_of)
{
    double best = 0, seconds = 0;
    for (int i = 0; i < best_of; i++) {
        double start = 0, sum = 0;
#pragma omp parallel num_threads(n_threads) reduction(+ : sum)
        {
#pragma omp barrier
#pragma omp master
            start = now();
            sum += run(n_rounds);
        }
        double elapsed = now() - start, rate = (double)n_rounds * n_threads / elapsed;
        seconds += elapsed;
        sink = sum;
        if (rate > best) best = rate;
    }
    return (rates){best, (double)n_rounds * n_threads * best_of / seconds};
}

static double rounds_per_second(load_fn run, int n_threads, long n_rounds, int best_of)
{
    return measure_rates(run, n_threads, n_rounds, best_of).best;
}

static uint64_t *arrays[MAX_THREADS];
static size_t array_length;

/* Sums a thread's own array; the compiler makes it vectors of whatever the baseline has. */
static double read_array(long n_rounds)
{
    const uint64_t *p = arrays[omp_get_thread_num()];
    uint64_t sum[8] = {0};
    for (long r = 0; r < n_rounds; r++) {
        __asm__ volatile("" ::: "memory");
        for (size_t i = 0; i < array_length; i += 8)
            for (size_t j = 0; j < 8; j++)
                sum[j] += p[i + j];
    }
    return (double)(sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7]);
}

/* GB/s, each thread reading its own array of the given size; 0 without the memory for it. */
static double read_bandwidth(size_t bytes, int n_threads, double seconds)
{
    int ok = 1;
    array_length = bytes / sizeof(uint64_t);
#pragma omp parallel num_threads(n_threads) reduction(&& : ok)
    {
        uint64_t *made = aligned_alloc(PAGE, bytes);
        if (made) memset(made, 1, bytes); /* by the thread that reads it */
        arrays[omp_get_thread_num()] = made;
        ok = made != NULL;
    }
    double rounds = 0;
    if (ok) {
        long n_rounds = rounds_in(read_array, seconds / BEST_OF);
        rounds = rounds_per_second(read_array, n_threads, n_rounds, BEST_OF);
    }
    for (int t = 0; t < n_threads; t++)
        free(arrays[t]);
    return 1e-9 * rounds * (double)bytes;
}

static double barrier(long n_rounds)
{
    for (long r = 0; r < n_rounds; r++) {
#pragma omp barrier
    }
    return 0;
}

/* Seconds of an empty parallel region. */
static double region_seconds(int n_threads)
{
    enum { N_REGIONS = 2000 };
    double best = 1;
    for (int i = 0; i < BEST_OF; i++) {
        double start = now();
        for (int r = 0; r < N_REGIONS; r++) {
#pragma omp parallel num_threads(n_threads)
            __asm__ volatile("" ::: "memory");
        }
        double elapsed = (now() - start) / N_REGIONS;
        if (elapsed < best) best = elapsed;
    }
    return best;
}

static void print_pair(const char *before, const char *name, double one, double all)
{
    printf("%s\"%s\": [%.4g, %.4g]", before, name, one, all);
}

/* The multiply-add peaks, of all instruction sets or of one: on one thread, on all, and on all the mean
 * of the runs of which the peak is the best. */
static void print_peaks(const char *only, int n_threads, double seconds)
{
    const char *before = "";
    printf("\"gflops\": {");
    for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++) {
        if ((only && strcmp(only, SETS[i].name) != 0) || !SETS[i].available()) continue;
        double giga = 1e-9 * SETS[i].operations;
        long n_rounds = rounds_in(SETS[i].run, seconds / BEST_OF);
        rates all = measure_rates(SETS[i].run, n_threads, n_rounds, BEST_OF);
        printf("%s\"%s\": [%.4g, %.4g, %.4g]", before, SETS[i].name,
               giga * rounds_per_second(SETS[i].run, 1, n_rounds, BEST_OF), giga * all.best,
               giga * all.mean);
        before = ", ";
    }
    printf("}");
}

int main(int argc, char **argv)
{
    int n_threads = argc > 1 ? atoi(argv[1]) : 0;
    double seconds = argc > 2 ? atof(argv[2]) : 0;
    const char *only = argc > 3 ? argv[3] : NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS || !(seconds > 0)) {
        fprintf(stderr, "usage: peak THREADS SECONDS [SET]\n");
        return 2;
    }
    printf("{\"threads\": %d, ", n_threads);
    print_peaks(only, n_threads, seconds);
    if (!only) {
        const size_t memory = (size_t)256 << 20, l3 = (size_t)8 << 20;
        print_pair(", ", "memory_gbs", read_bandwidth(memory, 1, seconds),
                   read_bandwidth(memory, n_threads, seconds));
        print_pair(", ", "l3_gbs", read_bandwidth(l3, 1, seconds),
                   read_bandwidth(l3, n_threads, seconds));
        double barriers =
            rounds_per_second(barrier, n_threads, N_BARRIERS, 10 * BEST_OF) / n_threads;
        printf(", \"barrier_us\": %.4g", 1e6 / barriers);
        printf(", \"region_us\": %.4g", 1e6 * region_seconds(n_threads));
    }
    printf("}\n");
    return 0;
}
