# SPDX-License-Identifier: BSD-3-Clause
# What jobs share: faults planted in a copy of the core, builds of the package apart. They source it.

jobs=$(nproc)
form=short
[[ ${1:-} != --exhaustive ]] || form=long

c_tests() {
    make --no-print-directory -s -C tests/c -j "$jobs" "$@"
}

# The portable family: the others are compiled from the same templates, and protected pages guard all.
portable=(DEFINES=-DFBP_NO_SIMD)

# planted FILE OLD NEW: make a copy of the core in which FILE has NEW in place of OLD, which it holds
# once, however its words are spaced. Then "${fault[@]}" is what tells c_tests to test the copy. What
# was built in $JOBS_WORK/sound is not built again.
planted() {
    local core=$JOBS_WORK/core root=$JOBS_WORK/planted
    rm -rf "$core" "$root"
    cp -rp csrc "$core"
    [[ ! -d $JOBS_WORK/sound ]] || cp -rp "$JOBS_WORK/sound" "$root"
    python - "$core/$1" "$2" "$3" <<'PYTHON'
import re
import sys
from pathlib import Path

path, old, new = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
changed, n = re.subn(r"\s+".join(map(re.escape, old.split())), lambda _: new, path.read_text())
if n != 1:
    sys.exit(f"{path}: {n} places to plant a fault in: {old}")
path.write_text(changed)
PYTHON
    fault=(CORE="$core" ROOT="$root" WARN=-w)
}

# build_apart SITE VARIABLE=VALUE…: build the package so, into a folder to be put on PYTHONPATH; from a
# copy of the tree, since two builds in one mix. Then call pytest, not python -m pytest, which like
# python -c finds the tree's own package first.
build_apart() {
    local site=$1 tree=$JOBS_WORK/tree
    shift
    rm -rf "$tree"
    mkdir "$tree"
    cp -r pyproject.toml setup.py README.md LICENSE csrc fastbp tests "$tree"
    rm -f "$tree"/fastbp/*.so
    env "$@" pip install -q --no-deps --no-build-isolation --target "$site" "$tree"
}

# caught PATTERN COMMAND…: the command must fail, and say what the pattern is.
caught() {
    local pattern=$1 log=$JOBS_WORK/caught.log
    shift
    if "$@" >"$log" 2>&1; then
        tail -n 20 "$log"
        echo "the planted fault was not seen: $*"
        return 1
    fi
    if ! grep -m 1 -e "$pattern" "$log"; then
        tail -n 20 "$log"
        echo "failed, but not with the planted fault: $*"
        return 1
    fi
}
