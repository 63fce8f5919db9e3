# SPDX-License-Identifier: BSD-3-Clause
# Precision and digests where float32 products run in AMX tiles, which the tests carry out in software.
# Short and long: the same.
set -euo pipefail
source tests/jobs/planted.bash

site=$JOBS_WORK/site
build_apart "$site" FASTBP_EMULATE_AMX=1
export PYTHONPATH=$site
net_in_tiles() {
    cd "$JOBS_WORK"
    python -c 'from fastbp import _core
_core.Net((64, 64, 64), ["relu"], "squared_error", dtype="float32", isa="amx")'
}
export -f net_in_tiles

bash -c net_in_tiles
# Planted: one bit of a tile's product is wrong, and the core refuses the tiles.
caught 'not available' env FBP_AMX_ERRS=1 bash -c net_in_tiles
pytest -q -p no:cacheprovider -n "$jobs" tests/test_precision.py tests/test_digests.py
