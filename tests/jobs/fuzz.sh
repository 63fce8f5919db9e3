# SPDX-License-Identifier: BSD-3-Clause
# Random calls of the C interface, by libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.
# Short: the portable family, 20,000 calls, the same ones each time. Long: every family, 20 minutes, on
# every core.
set -euo pipefail
source tests/jobs/planted.bash

flags=(-std=gnu11 -g1 -fno-omit-frame-pointer -fno-math-errno -ffp-contract=off -fvisibility=hidden)
flags+=(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fopenmp)
if [[ $form == short ]]; then
    flags+=(-O0 -DFBP_NO_SIMD)
    export OMP_NUM_THREADS=1 # with more, coverage is a matter of chance
else
    flags+=(-O1)
    export OMP_NUM_THREADS=2
fi
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0

# build CORE FOLDER: the program, of objects that are as new as their sources.
build() {
    mkdir -p "$2/isa"
    (cd "$1" && ls ./*.c isa/*.c) | while read -r file; do
        [[ $2/$file.o -nt $1/$file ]] || echo "$file"
    done | xargs -r -P "$jobs" -I{} clang "${flags[@]}" -I"$1" -c "$1/{}" -o "$2/{}.o"
    clang "${flags[@]}" -fsanitize=fuzzer -Icsrc tests/c/fuzz_calls.c "$2"/*.o "$2"/isa/*.o -lm -o "$2/fuzz"
}

# fuzz FOLDER OPTION…: inputs that fail are left there.
fuzz() {
    local folder=$1
    shift
    mkdir -p "$JOBS_WORK/corpus"
    "$folder/fuzz" -timeout=20 -rss_limit_mb=4096 -malloc_limit_mb=1000000000 -max_len=4096 \
        -len_control=0 -artifact_prefix="$folder/" -print_final_stats=1 "$@" "$JOBS_WORK/corpus"
}

build csrc "$JOBS_WORK/sound"

# Planted: rows that do not exist.
planted data.c 'order[i] < 0 || order[i] >= n_rows' 'order[i] < 0'
cp -rp "$JOBS_WORK/sound" "$JOBS_WORK/faulty"
build "$JOBS_WORK/core" "$JOBS_WORK/faulty"
caught 'ERROR: \(AddressSanitizer\|libFuzzer\)' fuzz "$JOBS_WORK/faulty" -max_total_time=240 -seed=1
# which is the plant's doing: the sound core can stand the same calls
"$JOBS_WORK/sound/fuzz" "$JOBS_WORK"/faulty/crash-* >/dev/null 2>&1

# What found the fault is where to begin.
if [[ $form == short ]]; then
    fuzz "$JOBS_WORK/sound" -runs=20000 -seed=2 2>&1 | tail -n 9
else
    fuzz "$JOBS_WORK/sound" -max_total_time=1200 -fork="$jobs" -ignore_crashes=0 2>&1 | tail -n 3
fi
