# SPDX-License-Identifier: BSD-3-Clause
# Builds that may differ in nothing but speed: by clang, and without OpenMP. Same bits as this one.
# Short: digests. Long: the core's tests, too.
set -euo pipefail
source tests/jobs/planted.bash

tests=(tests/test_digests.py)
[[ $form == short ]] || tests+=(tests/test_core.py tests/test_core_bits.py)

# Where the package is not installed, the build in place.
(cd /tmp && python -c 'import fastbp' 2>/dev/null) || export PYTHONPATH=$PWD
python tests/net_digests.py >"$JOBS_WORK/here"

# Planted: a penalty that is another in its fourth digit.
cp -r tests "$JOBS_WORK"
sed -i 's/alpha=1e-3/alpha=1.001e-3/' "$JOBS_WORK/tests/net_digests.py"
python "$JOBS_WORK/tests/net_digests.py" 2 >"$JOBS_WORK/other"
head -n "$(wc -l <"$JOBS_WORK/other")" "$JOBS_WORK/here" >"$JOBS_WORK/first"
caught '^>' diff "$JOBS_WORK/first" "$JOBS_WORK/other"

# same_bits NAME VARIABLE: build so, compare.
same_bits() {
    local site=$JOBS_WORK/$1
    build_apart "$site" "$2"
    PYTHONPATH="$site" python tests/net_digests.py | diff "$JOBS_WORK/here" -
    PYTHONPATH="$site" pytest -q -p no:cacheprovider -n "$jobs" "${tests[@]}"
}

same_bits clang CC=clang
same_bits serial FASTBP_OPENMP=0
