# SPDX-License-Identifier: BSD-3-Clause
"""Print digests of what the core learns, a line per case: one for any compiler and fused family."""

import hashlib
import itertools
import sys

from problems import ACTIVATIONS, LOSSES, SOLVERS, flat, make_problem

from fastbp import _core


def digest(case: tuple[str, str, str, str], isa: str) -> str:
    """Train a small net for three epochs and hash its weights."""
    dtype, loss, activation, solver = case
    n_out = 1 if loss == "binary_log_loss" else 3
    problem = make_problem((23, 50, 18, n_out), activation, loss, n=150, dtype=dtype, weighted=True)
    net = problem.net(_core.Net, solver=solver, max_rows=64, n_threads=2, isa=isa)
    for _ in range(3):
        net.train(
            problem.X,
            problem.y,
            None,
            64,
            sample_weight=problem.sample_weight,
            alpha=1e-3,
            momentum=0.9 if solver != "adam" else 0.0,
        )
    return hashlib.sha256(flat(net.get_weights()).tobytes()).hexdigest()[:16]


def main() -> None:
    print(_core.build_info(), _core.__file__, file=sys.stderr)
    cases = itertools.product(("float32", "float64"), LOSSES, ACTIVATIONS, SOLVERS)
    for case in itertools.islice(cases, int(sys.argv[1]) if len(sys.argv) > 1 else None):
        for isa in _core.available_isas():
            print(*case, isa, digest(case, isa))


if __name__ == "__main__":
    main()
