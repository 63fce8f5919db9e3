# SPDX-License-Identifier: BSD-3-Clause
"""The C tests must fail when the core is wrong.

Each fault is one line of a copy of the core, replaced; the copy is built, and the test that should
see the fault is run. Only the portable family is built, which is quick: the others are compiled
from the same templates.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from c_build import CORE, NO_COMPILER, make

pytestmark = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))


class Fault(NamedTuple):
    """``old`` occurs once in ``file``, however its words are spaced and broken into lines; with
    ``new`` instead, the program ``seen_by`` must fail."""

    file: str
    old: str
    new: str
    seen_by: str


FAULTS = {
    "zero output": Fault(
        "kernels/gemm_tmpl.c",
        "vf_store(out + r * NR + v * VF_LANES, act(z));",
        "vf_store(out + r * NR + v * VF_LANES, vf_sub(z, z));",
        "test_products",
    ),
    "missing bias": Fault(
        "kernels/gemm_tmpl.c",
        "const vf z = vf_add(acc[r][v], vf_load(b + v * VF_LANES));",
        "const vf z = acc[r][v];",
        "test_products",
    ),
    "dropped edge column": Fault(
        "kernels/gemm_tmpl.c",
        "for (; fan_out > 0; fan_out -= NR,",
        "for (; fan_out > 1; fan_out -= NR,",
        "test_products",
    ),
    "stale transposed weights": Fault(
        "kernels/update_tmpl.c",
        "if (!s->wt) continue;",
        "if (!s->wt || !s->i0) continue;",
        "test_updates",
    ),
    "duplicates of a CSR row not added": Fault(
        "kernels/layout_tmpl.c", "% NR] += (real)", "% NR] = (real)", "test_layouts"
    ),
    "duplicates of a sparse row not added": Fault(
        "kernels/compact_tmpl.c", "+= (real)data[i];", "= (real)data[i];", "test_sparse"
    ),
    "sums of a sparse row left behind": Fault(
        "kernels/compact_tmpl.c", "sums[c] = 0;", "(void)0;", "test_sparse"
    ),
    "a sparse strip's chunk forgotten": Fault(
        "kernels/sparse_tmpl.c",
        "memcpy(gradient, (const real *)s->gw + first, bytes);",
        "memset(gradient, 0, bytes);",
        "test_sparse",
    ),
    "penalty on intercepts": Fault(
        "kernels/update_tmpl.c",
        "update_row(nv, gradient, row_at(s->b, s->mb, at), intercept_factors(u),",
        "update_row(nv, gradient, row_at(s->b, s->mb, at), weight_factors(u),",
        "test_updates",
    ),
    "a place left after a draw that does not fit": Fault(
        "shuffle.c", "i -= hit;", "i--;", "test_shuffle"
    ),
    "bias correction left out": Fault(
        "train.c", "sqrt(1 - power_2) / (1 - power_1)", "sqrt(1 - power_2)", "test_training"
    ),
    "targets not in the order of the rows": Fault(
        "data.c",
        "const int64_t row = order ? order[first + r] : first + r; const char *item",
        "const int64_t row = order ? order[first] : first + r; const char *item",
        "test_training",
    ),
    "accumulators lost between blocks of k": Fault(
        "kernels/gemm_tmpl.c",
        "if (k0 == 0) tile_clear(nv, acc); else tile_load(nv, out + row * NR, NR, acc); "
        "row_tile(nv, k, a +",
        "tile_clear(nv, acc); row_tile(nv, k, a +",
        "test_products",
    ),
    "32 bits of a row's place": Fault(
        "kernels/layout_tmpl.c",
        "data + source_row(order, first, r) * x->ld;",
        "data + (uint32_t)(source_row(order, first, r) * x->ld);",
        "test_sizes",
    ),
    "a product of sizes that wraps": Fault(
        "arena.c",
        "(bytes && (uint64_t)count > limit / bytes)",
        "(uint64_t)count * bytes > limit",
        "test_sizes",
    ),
    "flipped branch": Fault(
        "kernels/gemm_tmpl.c",
        "if (k0 == 0) tile_clear(nv, acc); else tile_load(nv, out + row * NR, NR, acc); "
        "row_tile(nv, k, a +",
        "if (k0 != 0) tile_clear(nv, acc); else tile_load(nv, out + row * NR, NR, acc); "
        "row_tile(nv, k, a +",
        "test_products",
    ),
    "slope of a loss on the wrong side": Fault(
        "kernels/loss_tmpl.c",
        "vf_select(vf_lt(d, zero), below, vf_select(vf_lt(zero, d), above, d))",
        "vf_select(vf_lt(d, zero), above, vf_select(vf_lt(zero, d), below, d))",
        "test_losses",
    ),
    "labels not smoothed": Fault(
        "kernels/loss_tmpl.c",
        "return vf_set1((real)targets->label_smoothing);",
        "return vf_set1(0);",
        "test_losses",
    ),
    "intercepts left out of the norm that is clipped": Fault(
        "gradient.c", "sum += g * g;", "sum += 0 * g;", "test_clipping"
    ),
    "clipped steps not clipped": Fault(
        "train.c",
        "t->update.scale *= fbp_clip_factor(t->net, t->update.scale, t->step->max_grad_norm);",
        "(void)fbp_clip_factor(t->net, t->update.scale, t->step->max_grad_norm);",
        "test_clipping",
    ),
    "slopes of dropped units kept": Fault(
        "kernels/dropout_tmpl.c",
        "drop_vector(dropped, scale, (real *)slopes + at + column);",
        "(void)slopes;",
        "test_dropout",
    ),
    "masks that begin again with a chunk": Fault(
        "train.c", "last ? 0 : begin + chunk);", "0);", "test_dropout_nets"
    ),
    "stopped in the middle of an update": Fault(
        "train.c",
        "atomic_store(&t->stop_in_weights, 1);",
        "atomic_store(&t->stop_in_weights, 1), i = net->n_tasks;",
        "test_stops",
    ),
    "threads that the system may refuse": Fault(
        "team.c", "if (n_threads > last) {", "if (n_threads < 0) {", "test_team"
    ),
    "a team in a forked process": Fault(
        "team.c", "return getpid() != home;", "return 0;", "test_team"
    ),
}

PROGRAMS = sorted({fault.seen_by for fault in FAULTS.values()})
BUILD_FLAGS = {"OPT": "-O0 -DFBP_NO_SIMD", "WARN": ""}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an unchanged copy of the core and its test programs."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(CORE, folder / "core")
    programs = sorted({fault.seen_by for fault in FAULTS.values()})
    build = folder / "build"
    make(
        *(str(build / name) for name in programs), CORE=folder / "core", BUILD=build, **BUILD_FLAGS
    )
    return folder


def run(program: Path) -> tuple[int, int]:
    """Return a test program's exit status and the failures it counted."""
    done = subprocess.run([program], capture_output=True, text=True, timeout=600)
    summary = re.search(r"(\d+) failed$", done.stdout.strip())
    return done.returncode, int(summary[1]) if summary else -1


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_fault_is_seen_in_the_core_itself(sound: Path, program: str) -> None:
    assert run(sound / "build" / program) == (0, 0)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_seen(sound: Path, tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)  # with times: only the fault is compiled
    source = tmp_path / "core" / fault.file
    text = source.read_text()
    old = r"\s+".join(map(re.escape, fault.old.split()))
    changed, n_places = re.subn(old, fault.new, text)
    assert n_places == 1, "the line to replace has changed: change it here, too"
    source.write_text(changed)

    build = tmp_path / "build"
    make(str(build / fault.seen_by), CORE=tmp_path / "core", BUILD=build, **BUILD_FLAGS)
    status, n_failed = run(build / fault.seen_by)
    assert status == 1
    assert n_failed > 0
