/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which kernel families this build and this machine have, and the names in the registry.
 *
 * A CPU's word is not enough: AVX needs the operating system to save its registers (XCR0), or the
 * first context switch corrupts them. Kernels are chosen by family and type only, never by a timing.
 */
#include "split.h"
#include "isa/amx_cpu.h"
#include "isa/target.h"

#define FBP_ISA(NAME, name) \
    extern const fbp_kernels *const fbp_kernels_f32_##name, *const fbp_kernels_f64_##name;
#define FBP_SPLIT_ISA(NAME, name, BASE) extern const fbp_split_kernels *const fbp_split_##name;
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

static int has_avx512bf16(void)
{
    unsigned leaf7[4];
    if (!has_avx512()) return 0;
    cpuid(7, 1, leaf7);
    return (int)BIT(leaf7[0], 5);
}

static int has_amx(void) { return has_avx512bf16() && fbp_amx_present(); }

/* On Intel's CPUs VDPBF16PS has half the rate of two units of multiply-adds (Sapphire Rapids,
 * measured: 0.56 ns for 32 products, against 0.14 for 16). On AMD's it has twice that of theirs. */
static int gains_avx512bf16(void)
{
    unsigned leaf0[4];
    cpuid(0, 0, leaf0);
    return leaf0[1] != 0x756e6547; /* "Genu" */
}
#else
static int has_avx2(void) { return 0; }

static int has_avx512(void) { return 0; }

static int has_avx512bf16(void) { return 0; }

static int has_amx(void) { return 0; }

static int gains_avx512bf16(void) { return 0; }
#endif

static int has_ref(void) { return 1; }

/* The architectures' own: there wherever it was compiled. */
static int has_sse2(void) { return FBP_X86; }

static int has_neon(void) { return FBP_AARCH64; }

static int gains_amx(void) { return 1; }

/* Answers, kept: under a hypervisor, one cpuid instruction costs tens of microseconds. Threads that
 * ask at once hear the same. */
enum { UNKNOWN, YES, NO };
static atomic_int can_run[FBP_N_ISAS], gains[FBP_N_ISAS]; /* what CPU and system say */
static atomic_int split_works[FBP_N_ISAS];                /* when tried */

static int ask_once(atomic_int *answer, int (*question)(void))
{
    if (atomic_load_explicit(answer, memory_order_relaxed) == UNKNOWN)
        atomic_store(answer, question() ? YES : NO);
    return atomic_load(answer) == YES;
}

int fbp_isa_available(int isa)
{
    switch (isa) {
#define FBP_ISA(NAME, name) \
    case FBP_ISA_##NAME:    \
        return fbp_kernels_f32_##name && ask_once(&can_run[isa], has_##name);
#define FBP_SPLIT_ISA(NAME, name, BASE)                                   \
    case FBP_ISA_##NAME:                                                  \
        return fbp_split_##name && ask_once(&can_run[isa], has_##name) && \
               fbp_isa_available(FBP_ISA_##BASE) && atomic_load(&split_works[isa]) != NO;
#include "registry.def"
    default:
        return 0;
    }
}

/* Whether a family of split products is the faster one for what it splits; NULL for the others. */
static int (*const question_of_gain[])(void) = {
#define FBP_ISA(NAME, name) NULL,
#define FBP_SPLIT_ISA(NAME, name, BASE) gains_##name,
#include "registry.def"
};

int fbp_isa_best(int real, int precision)
{
    int best = FBP_ISA_REF;
    for (int isa = 0; isa < FBP_N_ISAS; isa++) {
        int (*question)(void) = question_of_gain[isa];
        if (question ? fbp_split_find(isa, real, precision) && ask_once(&gains[isa], question)
                     : fbp_isa_available(isa))
            best = isa;
    }
    return best;
}

const fbp_kernels *fbp_kernels_find(int isa, int real)
{
    /* The family whose kernels a family of split products does all else with; otherwise itself. */
    static const int bases[] = {
#define FBP_ISA(NAME, name) FBP_ISA_##NAME,
#define FBP_SPLIT_ISA(NAME, name, BASE) FBP_ISA_##BASE,
#include "registry.def"
    };
    if (!fbp_isa_available(isa)) return NULL;
    switch (bases[isa]) {
#define FBP_ISA(NAME, name) \
    case FBP_ISA_##NAME:    \
        return real == FBP_F32 ? fbp_kernels_f32_##name : fbp_kernels_f64_##name;
#include "registry.def"
    default:
        return NULL;
    }
}

/* The family's table of split kernels; NULL for families without. */
static const fbp_split_kernels *split_table(int isa)
{
    switch (isa) {
#define FBP_SPLIT_ISA(NAME, name, BASE) \
    case FBP_ISA_##NAME:                \
        return fbp_split_##name;
#include "registry.def"
    default:
        return NULL;
    }
}

const fbp_split_kernels *fbp_split_find(int isa, int real, int precision)
{
    const fbp_split_kernels *split = fbp_isa_available(isa) ? split_table(isa) : NULL;
    return split && real == FBP_F32 && fbp_parts(precision) <= split->most_parts ? split : NULL;
}

int fbp_split_start(int isa)
{
    const fbp_split_kernels *split = split_table(isa);
    return split && (!split->start || ask_once(&split_works[isa], split->start));
}

int fbp_parts(int precision)
{
    static const int parts[] = {
#define FBP_PRECISION(NAME, name, n_parts) n_parts,
#include "registry.def"
    };
    return parts[precision];
}

int fbp_isa_fused(int isa, int real)
{
    const fbp_kernels *kernels = fbp_kernels_find(isa, real);
    return kernels && kernels->fused && (real != FBP_F32 || !split_table(isa));
}

const char *fbp_activation_name(int id)
{
    static const char *const names[] = {
#define FBP_ACTIVATION(NAME, name, how) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_ACTIVATIONS ? names[id] : NULL;
}

const char *fbp_loss_name(int id)
{
    static const char *const names[] = {
#define FBP_LOSS(NAME, name, link, reduction, parameter) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_LOSSES ? names[id] : NULL;
}

const char *fbp_loss_link(int id)
{
    static const char *const names[] = {
#define FBP_LOSS(NAME, name, link, reduction, parameter) #link,
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
#define FBP_SPLIT_ISA(NAME, name, BASE) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_ISAS ? names[id] : NULL;
}

const char *fbp_precision_name(int id)
{
    static const char *const names[] = {
#define FBP_PRECISION(NAME, name, parts) #name,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_PRECISIONS ? names[id] : NULL;
}

const char *fbp_status_text(int status)
{
    static const char *const texts[] = {
#define FBP_STATUS(NAME, text) text,
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
#define FBP_LOSS(NAME, name, link, reduction, parameter) reduction,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_LOSSES && reductions[id] == CODES;
}

int fbp_loss_parameter(int id)
{
    static const int parameters[] = {
#define FBP_LOSS(NAME, name, link, reduction, parameter) FBP_PARAMETER_##parameter,
#include "registry.def"
    };
    return id >= 0 && id < FBP_N_LOSSES ? parameters[id] : FBP_PARAMETER_NONE;
}
