# SPDX-License-Identifier: BSD-3-Clause
"""What is measured beside training, one module each, in the order of a run.

A part has a TITLE, `measure(settings)`, which returns what JSON can carry and runs in a process of
its own, and `rows(result)`, the table. Libraries are imported inside functions: the command line
imports every part for its table.
"""

PARTS = (
    "threads",
    "phases",
    "widths",
    "prediction",
    "grid_search",
    "busy_neighbour",
    "subnormals",
    "sparse",
    "import_time",
    "peak_memory",
)
#: Those of a quick run that names none; the others take longer than its minute.
QUICK = ("prediction", "import_time")
