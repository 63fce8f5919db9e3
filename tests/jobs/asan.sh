# SPDX-License-Identifier: BSD-3-Clause
# The C tests under AddressSanitizer and UndefinedBehaviorSanitizer.
# Short: the portable family, programs of whole nets. Long: every family and program, AMX's tiles in
# software.
set -euo pipefail
source tests/jobs/planted.bash

small=("${portable[@]}" SPEED=-O0)
nets="api clipping pace sparse_nets training"
c_tests asan "${small[@]}" ROOT="$JOBS_WORK/sound" ONLY="$nets"

planted parameters.c 'memcpy(intercept, b, (size_t)l->fan_out * net->real_bytes);' \
    'memcpy(intercept, b, (size_t)(l->fan_out + 1) * net->real_bytes);'
caught 'AddressSanitizer: heap-buffer-overflow' c_tests asan "${small[@]}" "${fault[@]}" ONLY=training
planted pace.c 'return limit >> p->trial > 1' 'return limit >> (p->trial + 40) > 1'
caught 'runtime error: shift exponent' c_tests asan "${small[@]}" "${fault[@]}" ONLY=pace

[[ $form == short ]] || c_tests asan ROOT="$JOBS_WORK/families"
