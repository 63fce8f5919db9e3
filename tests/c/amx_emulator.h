/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AMX tiles in software, for CPUs without them: the family's own machine code runs, each of its tile
 * instructions faults, and a handler of SIGILL carries it out. Linked in the place of
 * csrc/isa/amx_cpu.c, whose two functions it defines; on a CPU with AMX the instructions still
 * fault, since nothing asks the kernel for permission.
 */
#ifndef AMX_EMULATOR_H
#define AMX_EMULATOR_H

#include <stdint.h>

typedef enum { AMX_WORKS, AMX_ABSENT, AMX_REFUSED, AMX_ERRS } amx_behaviour;

/* Set before the family is first asked for. ERRS: products differ in the last bit. */
extern amx_behaviour amx_emulated;

/* Threads that hold a configuration of tiles now, and tile products done. */
int amx_configured(void);
int64_t amx_products(void);

/* One tile product by the documented arithmetic: c [16 × 16] += a [16 × 32] · b [16 pairs × 16 × 2]. */
void amx_multiply(float *c, const uint16_t *a, const uint16_t *b);

#endif
