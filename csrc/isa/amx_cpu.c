/* SPDX-License-Identifier: BSD-3-Clause */
/* See amx_cpu.h. Linux only: no other kernel says how tiles are asked for. */
#include "amx_cpu.h"
#include "target.h"

#if FBP_X86_BF16 && defined(__linux__)
#include <cpuid.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AMX_BITS (1u << 22 | 1u << 24) /* cpuid 7, edx: AMX-BF16, AMX-TILE */
#define TILE_STATE (UINT64_C(3) << 17) /* XCR0 and the kernel's list: XTILECFG, XTILEDATA */
#define XTILEDATA 18
#define GET_XCOMP_SUPP 0x1021
#define REQ_XCOMP_PERM 0x1023

int fbp_amx_present(void)
{
    unsigned a, b, c, d, low, high;
    uint64_t supported = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & AMX_BITS) != AMX_BITS) return 0;
    __cpuid(1, a, b, c, d);
    if (!(c >> 27 & 1)) return 0; /* OSXSAVE, without which xgetbv faults */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & TILE_STATE) != TILE_STATE) return 0;
    return syscall(SYS_arch_prctl, GET_XCOMP_SUPP, &supported) == 0 &&
           (supported & TILE_STATE) == TILE_STATE;
}

int fbp_amx_permitted(void) { return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0; }
#else
int fbp_amx_present(void) { return 0; }

int fbp_amx_permitted(void) { return 0; }
#endif
