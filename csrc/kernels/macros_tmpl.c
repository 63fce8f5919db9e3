/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all templates assume: the width of a panel, and words for the compilers.
 */

#define NR (NV * VF_LANES)
/* k of the products at a time: KC rows of a panel take 28 KiB at most, which leaves room in L1. */
#define KC (28672 / (NR * (int64_t)sizeof(real)) / NR * NR)

#if defined(__GNUC__) || defined(__clang__)
#define ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE __forceinline
#endif
/* One copy, whatever constants its callers pass. */
#if defined(__GNUC__) && !defined(__clang__)
#define NOINLINE __attribute__((noinline, noclone))
#elif defined(__clang__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __declspec(noinline)
#endif
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 32")
#else
#define UNROLL
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH_L1(p) __builtin_prefetch(p, 0, 3)
#define PREFETCH_L2(p) __builtin_prefetch(p, 0, 2)
#define PREFETCH_WRITE(p) __builtin_prefetch(p, 1, 3) /* taken from the cores that have read it */
#else
#define PREFETCH_L1(p) ((void)(p))
#define PREFETCH_L2(p) ((void)(p))
#define PREFETCH_WRITE(p) ((void)(p))
#endif

#ifndef INFINITY
#define INFINITY __builtin_inf()
#define NAN __builtin_nan("")
#endif

/* Run `call` with a constant nv: the vectors of a panel with that many columns left. */
#define NV_CASE(count, call)   \
    case count: {              \
        enum { nv = (count) }; \
        call;                  \
        break;                 \
    }
#if NV >= 3
#define NV_CASE_3(call) NV_CASE(3, call)
#else
#define NV_CASE_3(call)
#endif
#if NV >= 4
#define NV_CASE_4(call) NV_CASE(4, call)
#else
#define NV_CASE_4(call)
#endif
#define SWITCH_NV(columns, call)                            \
    switch (fbp_min(NV, fbp_ceil_div(columns, VF_LANES))) { \
        NV_CASE(1, call)                                    \
        NV_CASE(2, call)                                    \
        NV_CASE_3(call)                                     \
        NV_CASE_4(call)                                     \
    }
