/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The floating-point environment inside the core: round to nearest, subnormals are zero (a subnormal
 * operand can cost a multiply-add 200 times its time), all exceptions masked. The caller's is put
 * back, flags included.
 *
 * Compilers do not know that arithmetic depends on it. What reads and writes memory, and calls of other
 * files' functions, stay between enter and leave; a comparison of two registers would not.
 */
#ifndef FBP_FPENV_H
#define FBP_FPENV_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#ifdef _MSC_VER
#include <intrin.h>
#endif

#define FBP_MXCSR_CORE 0x9fc0u /* FTZ, DAZ, nearest, all masked */

#ifdef _MSC_VER
#define FBP_NOTHING_PASSES _ReadWriteBarrier()
#else
#define FBP_NOTHING_PASSES __asm__ volatile("" : : : "memory")
#endif

static inline uint64_t fbp_fpenv_enter(void)
{
    const uint64_t saved = _mm_getcsr();
    _mm_setcsr(FBP_MXCSR_CORE);
    FBP_NOTHING_PASSES;
    return saved;
}

static inline void fbp_fpenv_leave(uint64_t saved)
{
    FBP_NOTHING_PASSES;
    _mm_setcsr((unsigned)saved);
}

#elif defined(__aarch64__)
/* FZ: operands and results of both types. A result is flushed by its size before it is rounded, on x86
 * by that after: one that rounds up to the smallest normal number is 0 here and that number there. */
#define FBP_FPCR_CORE (UINT64_C(1) << 24)

/* Modes are in the control register, flags in the status register; 32 bits of each are in use. */
static inline uint64_t fbp_fpenv_enter(void)
{
    uint64_t control, status;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control) : : "memory");
    __asm__ volatile("mrs %0, fpsr" : "=r"(status) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"(FBP_FPCR_CORE) : "memory");
    return status << 32 | control;
}

static inline void fbp_fpenv_leave(uint64_t saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved & UINT32_MAX) : "memory");
    __asm__ volatile("msr fpsr, %0" : : "r"(saved >> 32) : "memory");
}

#else
static inline uint64_t fbp_fpenv_enter(void) { return 0; }

static inline void fbp_fpenv_leave(uint64_t saved) { (void)saved; }
#endif

#endif
