/* SPDX-License-Identifier: BSD-3-Clause */
/* Composition: the templates in portable C, f64. */
#include "internal.h"
#define KERNEL(name) name##_f64_ref
#include "ref_f64.h"

#include "kernels/kernels_tmpl.c"
