# SPDX-License-Identifier: BSD-3-Clause
"""What estimators learn has the digests in tests/digests.txt, on every machine.

A change in what is computed updates that file on purpose: ``python tests/digests.py --update``.
The job ``same_bits`` repeats this over threads, runs, families and layouts.
"""

from __future__ import annotations

import digests
import numpy as np
import pytest

from fastbp._schedules import cosine_factors, one_cycle_factors


@pytest.mark.parametrize("kind", digests.kinds_of_bits())
def test_learnt_is_what_the_file_says(kind: str) -> None:
    expected = digests.read()
    found = {name: digests.compute(name, kind) for name in digests.CONFIGURATIONS}
    assert found == {name: values[kind] for name, values in expected.items()}


def test_file_has_an_estimator_of_every_kind() -> None:
    expected = digests.read()
    assert list(expected) == list(digests.CONFIGURATIONS)
    assert len(expected) == 24
    for kind in (digests.FUSED, "sse2"):
        assert len({values[kind] for values in expected.values()}) == 24


def test_schedules_have_the_same_bits_on_every_cpu() -> None:
    """NumPy's own cosine differs between CPUs."""
    steps = np.arange(1000.0)
    factors = [cosine_factors(steps, 1000, 12.5), one_cycle_factors(steps, 1000)]
    assert [digests.digest_of(factor) for factor in factors] == ["6969218af1b0", "fdc01ebdae6a"]
