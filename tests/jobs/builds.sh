# SPDX-License-Identifier: BSD-3-Clause
# Builds that may differ in nothing but speed: by clang, and without OpenMP. Same bits as this one.
set -euo pipefail
source tests/jobs/planted.bash

# learned DIGESTS.PY LINES: digests of what nets learn.
learned() {
    python "$1" | head -n "$2" || true # head closes the pipe
}
n_lines=1000000
# Where the package is not installed, the build in place.
(cd /tmp && python -c 'import fastbp' 2>/dev/null) || export PYTHONPATH=$PWD
learned .ci/digests.py $n_lines >"$JOBS_WORK/here"

# Planted: a penalty that is another in its fourth digit.
cp -r .ci tests "$JOBS_WORK"
sed -i 's/alpha=1e-3/alpha=1.001e-3/' "$JOBS_WORK/.ci/digests.py"
head -n 20 "$JOBS_WORK/here" >"$JOBS_WORK/first"
learned "$JOBS_WORK/.ci/digests.py" 20 >"$JOBS_WORK/other"
caught '^>' diff "$JOBS_WORK/first" "$JOBS_WORK/other"

# same_bits NAME VARIABLE: build so, compare.
same_bits() {
    local site=$JOBS_WORK/$1
    build_apart "$site" "$2"
    PYTHONPATH="$site" learned .ci/digests.py $n_lines | diff "$JOBS_WORK/here" -
    PYTHONPATH="$site" python -m pytest -q -p no:cacheprovider -n "$jobs" \
        tests/test_core.py tests/test_core_bits.py tests/test_digests.py
}

same_bits clang CC=clang
same_bits serial FASTBP_OPENMP=0
