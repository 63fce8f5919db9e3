# SPDX-License-Identifier: BSD-3-Clause
# The lowest versions that pyproject.toml allows build the package and run what rests on them.
# Short: the estimators' tests, without those of the core's arithmetic, benchmarks and documents. Long:
# with those of the core.
set -euo pipefail
source tests/jobs/planted.bash

tests=(estimator_checks substitution tools semantics classifier regressor inputs parameters)
tests+=(prediction state validation scoring class_weight warm_start callbacks threads)
[[ $form == short ]] || tests+=(core core_bits core_calls losses steps gradients sparse dropout)
tests=("${tests[@]/#/tests/test_}")

# Python 3.10 if it is on the path or one of pyenv's, else the python3 at hand.
oldest_python() {
    local python
    for python in python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python python3; do
        if "$python" --version >/dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
}

python - >"$JOBS_WORK/oldest.txt" <<'PYTHON'
import re
from importlib.metadata import requires
from pathlib import Path

(build,) = re.findall(r"^requires = \[(.*)\]", Path("pyproject.toml").read_text("utf-8"), re.M)
for requirement in sorted({*re.findall(r'"(.*?)"', build), *requires("fastbp")}):
    name, _, marker = requirement.partition(";")
    if not re.search("dev|bench|docs", marker):
        if ">=" in name:
            print(name.replace(">=", "==").strip())
PYTHON
environment=$JOBS_WORK/oldest
"$(oldest_python)" -m venv "$environment"
"$environment/bin/python" --version
"$environment/bin/python" -m pip install -q --upgrade pip
"$environment/bin/pip" install -q -r "$JOBS_WORK/oldest.txt"
export PATH=$environment/bin:$PATH
# Planted: a name that a later NumPy brought.
caught "cannot import name 'unstack'" python -c 'from numpy import unstack'
build_apart "$JOBS_WORK/site"
export PYTHONPATH=$JOBS_WORK/site
pytest -q -p no:cacheprovider -n "$jobs" "${tests[@]/%/.py}"
