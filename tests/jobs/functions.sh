# SPDX-License-Identifier: BSD-3-Clause
# exp, log, tanh, logistic and other activations' functions over all floats: error, range, symmetry.
# Short: one block of 4,096 floats in 256. Long: all 2³², which gives the figures of csrc/README.md.
set -euo pipefail
source tests/jobs/planted.bash

# 0.4 % of a series' fifth term
planted kernels/math_tmpl.c 'p = vf_fma(p, r, vf_set1((real)(1.0 / 120)));' \
    'p = vf_fma(p, r, vf_set1((real)(1.004 / 120)));'
c_tests programs "${portable[@]}" "${fault[@]}" OPT=-O1 ONLY=math
caught 'exp .* ULP' "$JOBS_WORK/planted/plain/test_math" --every 4096 exp

c_tests programs ONLY=math
how=(--exhaustive)
[[ $form == long ]] || how=(--every 256)
build/c/plain/test_math "${how[@]}" | grep -v f64
