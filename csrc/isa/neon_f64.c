/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in Advanced SIMD, f64. Every AArch64 CPU has it: no target to open. */
#include "internal.h"
#include "target.h"

#if FBP_AARCH64
#include <arm_neon.h>

#define KERNEL(name) name##_f64_neon
#include "neon_f64.h"

#include "kernels/kernels_tmpl.c"
#else
const fbp_kernels *const fbp_kernels_f64_neon = NULL;
#endif
