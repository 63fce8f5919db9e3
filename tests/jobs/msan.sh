# SPDX-License-Identifier: BSD-3-Clause
# The C tests under MemorySanitizer: nothing uninitialised decides anything.
# Short: the portable family, programs of whole nets. Long: every family and program.
set -euo pipefail
source tests/jobs/planted.bash

nets="api clipping dropout_nets layouts rows_models sparse_nets"
c_tests msan "${portable[@]}" ROOT="$JOBS_WORK/sound" ONLY="$nets"

planted rows.c 'int64_t lda = ld;' 'int64_t lda;'
caught 'MemorySanitizer: use-of-uninitialized-value' \
    c_tests msan "${portable[@]}" "${fault[@]}" ONLY=rows_models

[[ $form == short ]] || c_tests msan ROOT="$JOBS_WORK/families"
