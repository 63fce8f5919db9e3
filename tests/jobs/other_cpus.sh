# SPDX-License-Identifier: BSD-3-Clause
# The C tests on AArch64 and older x86 CPUs, which qemu-user emulates; digests as on this CPU.
# Short: a few programs. Long: all of them.
set -euo pipefail
source tests/jobs/planted.bash

neon=(ONLY="api losses digests")
sse2=(ONLY="api digests")
avx2=(ONLY="digests")
[[ $form == short ]] || neon=() sse2=() avx2=()
c_tests sse2 "${sse2[@]}"
c_tests avx2 "${avx2[@]}"
c_tests neon "${neon[@]}"

# Planted: every CPU is believed to have AVX2. Built from what the above have built.
cp -rp build/c "$JOBS_WORK/sound"
planted dispatch.c 'if (leaf0[0] < 7) return 0;' 'if (leaf0[0]) return 1;'
caught 'Illegal instruction' c_tests sse2 "${fault[@]}" ONLY=api
