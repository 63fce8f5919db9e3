/* SPDX-License-Identifier: BSD-3-Clause */
/* What CPU and kernel say of AMX. A file of its own, so that the tests can put an emulator here. */
#ifndef FBP_AMX_CPU_H
#define FBP_AMX_CPU_H

/* Whether both know tiles of bfloat16. Asks for nothing. */
int fbp_amx_present(void);
/* Ask the kernel for this process's permission to use tiles; without it they are illegal
 * instructions. It cannot be given back, and signal stacks below 8 KiB fail from then on. */
int fbp_amx_permitted(void);

#endif
