/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compile what lies between FBP_TARGET_BEGIN and FBP_TARGET_END for an instruction set that the rest
 * of the program does not assume. Everything that touches vectors must lie inside.
 */
#ifndef FBP_TARGET_H
#define FBP_TARGET_H

#if (defined(__x86_64__) || defined(_M_X64)) && !defined(FBP_NO_SIMD)
#define FBP_X86 1
#else
#define FBP_X86 0
#endif

#if defined(__aarch64__) && !defined(FBP_NO_SIMD)
#define FBP_AARCH64 1
#else
#define FBP_AARCH64 0
#endif

/* gcc has AVX-512 BF16 from version 10 on; with cl.exe nobody has tried it. */
#if FBP_X86 && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 10))
#define FBP_X86_BF16 1
#else
#define FBP_X86_BF16 0
#endif

#define FBP_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define FBP_TARGET_BEGIN(features) \
    FBP_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define FBP_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define FBP_TARGET_BEGIN(features) _Pragma("GCC push_options") FBP_PRAGMA(GCC target(features))
#define FBP_TARGET_END _Pragma("GCC pop_options")
#else /* cl.exe accepts every intrinsic everywhere */
#define FBP_TARGET_BEGIN(features)
#define FBP_TARGET_END
#endif

#endif
