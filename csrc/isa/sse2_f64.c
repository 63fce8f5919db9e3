/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in SSE2, f64. Every x86-64 CPU has it: no target to open. */
#include "internal.h"
#include "target.h"

#if FBP_X86
#include <emmintrin.h>

#define KERNEL(name) name##_f64_sse2
#include "sse2_f64.h"

#include "kernels/kernels_tmpl.c"
#else
const fbp_kernels *const fbp_kernels_f64_sse2 = NULL;
#endif
