/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in AVX-512, f64. */
#include "internal.h"
#include "target.h"

#if FBP_X86
#include <immintrin.h>

/* prfchw asks nothing of the CPU: the instruction is a no-op where it is unknown. */
FBP_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prfchw")
#define KERNEL(name) name##_f64_avx512
#include "avx512_f64.h"

#include "kernels/kernels_tmpl.c"
FBP_TARGET_END
#else
const fbp_kernels *const fbp_kernels_f64_avx512 = NULL;
#endif
