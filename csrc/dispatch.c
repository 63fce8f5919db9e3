/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which kernel families this build and this machine have, and the names in the registry.
 *
 * A CPU's word is not enough: AVX needs the operating system to save its registers (XCR0), or the
 * first context switch corrupts them. Kernels are chosen by family and type only, never by a timing.
 */
#include "internal.h"
#include "isa/target.h"

#define FBP_ISA(NAME, name) \
    extern const fbp_kernels *const fbp_kernels_f32_##name, *const fbp_kernels_f64_##name;
#include "registry.def"

#if FBP_X86
#ifdef _MSC_VER
#include <intrin.h>

static void cpuid(unsigned leaf, unsigned subleaf, unsigned out[4])
{
    __cpuidex((int *)out, (int)leaf, (int)subleaf);
}

static uint64_t xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>

static void cpuid(unsigned leaf, unsigned subleaf, unsigned out[4])
{
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

#define BIT(word, n) (((word) >> (n)) & 1u)
#define XCR0_AVX 0x06u    /* xmm, ymm */
#define XCR0_AVX512 0xe6u /* and opmask, zmm */

static int has_avx2(void)
{
    unsigned leaf0[4], leaf1[4], leaf7[4];
    cpuid(0, 0, leaf0);
    if (leaf0[0] < 7) return 0;
    cpuid(1, 0, leaf1);
    cpuid(7, 0, leaf7);
    const int osxsave = (int)BIT(leaf1[2], 27), fma = (int)BIT(leaf1[2], 12);
    return osxsave && fma && BIT(leaf7[1], 5) && (xcr0() & XCR0_AVX) == XCR0_AVX;
}

static int has_avx512(void)
{
    unsigned leaf7[4];
    if (!has_avx2() || (xcr0() & XCR0_AVX512) != XCR0_AVX512) return 0;
    cpuid(7, 0, leaf7);
    const unsigned b = leaf7[1];
    return BIT(b, 16) && BIT(b, 17) && BIT(b, 30) && BIT(b, 31); /* F, DQ, BW, VL */
}
#else
static int has_avx2(void) { return 0; }

static int has_avx512(void) { return 0; }
#endif

static int has_ref(void) { return 1; }

/* The architectures' own: there wherever it was compiled. */
static int has_sse2(void) { return FBP_X86; }

static int has_neon(void) { return FBP_AARCH64; }

static int probe(int isa)
{
    switch (isa) {
#define FBP_ISA(NAME, name) \
    case FBP_ISA_##NAME:    \
        return fbp_kernels_f32_##name && has_##name();
#include "registry.def"
    default:
        return 0;
    }
}

/* Asked once per family: under a hypervisor, one cpuid instruction costs tens of microseconds. */
int fbp_isa_available(int isa)
{
    enum { UNKNOWN, NO, YES };
    static atomic_int answers[FBP_N_ISAS];
    if (isa < 0 || isa >= FBP_N_ISAS) return 0;
    int answer = atomic_load_explicit(&answers[isa], memory_order_relaxed);
    if (answer == UNKNOWN) {
        answer = probe(isa) ? YES : NO;
        atomic_store_explicit(&answers[isa], answer, memory_order_relaxed);
    }
    return answer == YES;
}

int fbp_isa_best(void)
{
    int best = FBP_ISA_REF;
    for (int isa = 0; isa < FBP_N_ISAS; isa++)
        if (fbp_isa_available(isa)) best = isa;
    return best;
}

const fbp_kernels *fbp_kernels_find(int isa, int real)
{
    if (!fbp_isa_available(isa)) return NULL;
    switch (isa) {
#define FBP_ISA(NAME, name) \
    case FBP_ISA_##NAME:    \
        return real == FBP_F32 ? fbp_kernels_f32_##name : fbp_kernels_f64_##name;
#include "registry.def"
    default:
        return NULL;
    }
}

int fbp_isa_fused(int isa, int real)
{
    const fbp_kernels *kernels = fbp_kernels_find(isa, real);
    return kernels && kernels->fused;
}

const char *fbp_activation_name(int id)
{
    static const char *const names[] = {
#define FBP_ACTIVATION(NAME, name, cheap) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_ACTIVATIONS ? names[id] : NULL;
}

const char *fbp_loss_name(int id)
{
    static const char *const names[] = {
#define FBP_LOSS(NAME, name, link, reduction) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_LOSSES ? names[id] : NULL;
}

const char *fbp_solver_name(int id)
{
    static const char *const names[] = {
#define FBP_SOLVER(NAME, name, n_moments) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_SOLVERS ? names[id] : NULL;
}

const char *fbp_isa_name(int id)
{
    static const char *const names[] = {
#define FBP_ISA(NAME, name) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_ISAS ? names[id] : NULL;
}

const char *fbp_status_text(int status)
{
    static const char *const texts[] = {
#define FBP_STATUS(NAME, exception, text) text,
#include "registry.def"
    };
    return status >= 0 && status < FBP_N_STATUSES ? texts[status] : NULL;
}

int fbp_solver_n_moments(int id)
{
    static const int counts[] = {
#define FBP_SOLVER(NAME, name, n_moments) n_moments,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_SOLVERS ? counts[id] : 0;
}

int fbp_loss_takes_codes(int id)
{
    enum { MEAN, SUM, CODES };
    static const int reductions[] = {
#define FBP_LOSS(NAME, name, link, reduction) reduction,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_LOSSES && reductions[id] == CODES;
}
