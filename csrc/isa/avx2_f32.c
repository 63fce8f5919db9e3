/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in AVX2 and FMA, f32. */
#include "internal.h"
#include "target.h"

#if FBP_X86
#include <immintrin.h>

FBP_TARGET_BEGIN("avx2,fma")
#define KERNEL(name) name##_f32_avx2
#include "avx2_f32.h"

#include "kernels/kernels_tmpl.c"
FBP_TARGET_END
#else
const fbp_kernels *const fbp_kernels_f32_avx2 = NULL;
#endif
