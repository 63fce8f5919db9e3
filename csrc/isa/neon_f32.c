/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in Advanced SIMD, f32. Every AArch64 CPU has it: no target to open. */
#include "internal.h"
#include "target.h"

#if FBP_AARCH64
#include <arm_neon.h>

#define KERNEL(name) name##_f32_neon
#include "neon_f32.h"

#include "kernels/kernels_tmpl.c"
#else
const fbp_kernels *const fbp_kernels_f32_neon = NULL;
#endif
