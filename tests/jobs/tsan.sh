# SPDX-License-Identifier: BSD-3-Clause
# The C tests with threads under ThreadSanitizer, with Archer, which knows what libomp synchronises.
# Short: the portable family in the programs that have threads. Long: every family and program.
set -euo pipefail
source tests/jobs/planted.bash

threads="api check clipping dropout_nets sparse_nets stops"
c_tests tsan "${portable[@]}" ROOT="$JOBS_WORK/sound" ONLY="$threads"

planted train.c 't->step->max_grad_norm); fbp_team_barrier(&t->team, n_threads);' \
    't->step->max_grad_norm);'
caught 'ThreadSanitizer: data race' c_tests tsan "${portable[@]}" "${fault[@]}" ONLY=clipping

[[ $form == short ]] || c_tests tsan ROOT="$JOBS_WORK/families"
