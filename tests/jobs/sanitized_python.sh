# SPDX-License-Identifier: BSD-3-Clause
# The extension under AddressSanitizer and UndefinedBehaviorSanitizer, driven by the Python tests.
# Short: the core's tests. Long: all tests but those that time interrupts, plot or benchmark.
set -euo pipefail
source tests/jobs/planted.bash

site=$JOBS_WORK/site
build_apart "$site" FASTBP_SANITIZE=address,undefined
nm -D "$site"/fastbp/_core*.so | grep __asan_init

# An interrupt is timed, which the sanitizers' slowness spoils.
sanitized() {
    env PYTHONPATH="$site" PYTHONMALLOC=malloc \
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
        LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
        "$@"
}

# Planted: an array that claims more rows than its memory has.
cat >"$JOBS_WORK/overflow.py" <<'PYTHON'
import numpy as np

from fastbp import _core

short = np.ones(6)
claimed = np.lib.stride_tricks.as_strided(short, (4000, 3), (24, 8))
net = _core.Net((3, 2), [], "squared_error", dtype="float64", max_rows=0)
net.predict(claimed)
PYTHON
caught 'AddressSanitizer: heap-buffer-overflow' sanitized python "$JOBS_WORK/overflow.py"

tests=(tests/test_core.py tests/test_core_calls.py)
[[ $form == short ]] || tests=(tests --ignore=tests/test_benchmarks.py --ignore=tests/test_packaging.py)
sanitized pytest -q -s -p no:cacheprovider -n "$jobs" -k 'not interrupt' "${tests[@]}"
