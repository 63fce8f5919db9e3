/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in portable C, f32. */
#include "internal.h"
#define KERNEL(name) name##_f32_ref
#include "ref_f32.h"

#include "kernels/kernels_tmpl.c"
