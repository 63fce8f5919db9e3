/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: split products of one part, in AVX-512 BF16. */
#include "split.h"
#include "target.h"

#if FBP_X86_BF16
#include <immintrin.h>

FBP_TARGET_BEGIN("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define KERNEL(name) name##_avx512bf16
#include "parts_avx512.h"
#include "kernels/macros_tmpl.c"
#include "avx512bf16_f32.h"

#include "kernels/split_product_tmpl.c"
FBP_TARGET_END
#else
const fbp_split_kernels *const fbp_split_avx512bf16 = NULL;
#endif
