/* SPDX-License-Identifier: BSD-3-Clause */
/* Vocabulary: one lane of portable C, double. The oracle of the other families; fma() is exact. */
#include "scalar.h"
#include "words_scalar.h"

typedef double real;
typedef double vf;
typedef int vm;

#define REAL_BITS 64
#define VF_LANES 1
#define VF_FUSED 1
#define MR 4
#define NV 4

#define vf_load(p) (*(p))
#define vf_store(p, a) (*(p) = (a))
#define vf_set1(x) ((real)(x))
#define vf_add(a, b) ((a) + (b))
#define vf_sub(a, b) ((a) - (b))
#define vf_mul(a, b) ((a) * (b))
#define vf_div(a, b) ((a) / (b))
#define vf_fma(a, b, c) __builtin_fma(a, b, c)
#define vf_sqrt(a) sqrt_f64(a)
#define vf_max(a, b) max_f64(a, b)
#define vf_round(a) round_f64(a)
#define vf_lt(a, b) ((a) < (b))
#define vf_eq(a, b) ((a) == (b))
#define vf_select(m, a, b) ((m) ? (a) : (b))
#define vf_and(a, b) from_bits_f64(to_bits_f64(a) & to_bits_f64(b))
#define vf_or(a, b) from_bits_f64(to_bits_f64(a) | to_bits_f64(b))
#define vf_add_bits(a, b) from_bits_f64(to_bits_f64(a) + to_bits_f64(b))
#define vf_shl_bits(a, n) from_bits_f64(to_bits_f64(a) << (n))
#define vf_shr_bits(a, n) from_bits_f64(to_bits_f64(a) >> (n))
#define vf_set1_bits(x) from_bits_f64((uint64_t)(x))
#define real_fma(a, b, c) __builtin_fma(a, b, c)
#define tile_transpose_4x4(src, lds, dst, ldd) transpose_4x4_f64(src, lds, dst, ldd)
