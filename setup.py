# SPDX-License-Identifier: BSD-3-Clause
"""Compile the C core and its Cython skin into the one extension, ``fastbp._core``.

All else about the package is in pyproject.toml. What the environment can say:

CC               the compiler
FASTBP_OPENMP    ``0`` builds without OpenMP: one thread
FASTBP_SANITIZE  sanitizers to build in, such as ``address,undefined``; for tests only
FASTBP_EMULATE_AMX  ``1`` builds in the tests' emulator of AMX tiles, slow; for tests only
"""

import os
import sys
import tempfile
from glob import glob
from multiprocessing.pool import ThreadPool
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext as BuildExt
from setuptools.errors import CompileError, LinkError

# Flags are the same for every file; a kernel family opens its instruction set with a pragma.
# Contraction is off and fast math never on: results must not depend on the compiler.
UNIX_FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-ffp-contract=off", "-fvisibility=hidden"]
UNIX_HARDENING = ["-fstack-protector-strong"]
ELF_HARDENING = ["-Wl,-z,relro,-z,now"]
# Where Python was built with -g, so is this: six times the size, too much for a wheel.
ELF_SMALL = ["-Wl,--strip-debug"]
# -g1: lines are all that a report needs, and the tracking of variables takes gcc a third more.
SANITIZER_FLAGS = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
MSVC_FLAGS = ["/std:c11", "/experimental:c11atomics", "/O2", "/fp:precise", "/utf-8"]

# (compile, link) flags to try, the first that works being used.
UNIX_OPENMP = [(["-fopenmp"], ["-fopenmp"])]
MACOS_OPENMP = [(["-Xclang", "-fopenmp"], ["-lomp"]), *UNIX_OPENMP]
# Of the two libraries of cl.exe, the older is one that a wheel may hold.
MSVC_OPENMP = [(["/openmp"], []), (["/openmp:llvm"], [])]

OPENMP_PROGRAM = """
#include <omp.h>
int main(void)
{
    int n = 0;
#pragma omp parallel reduction(+ : n)
    n += omp_get_num_threads();
    return n < 1;
}
"""


def core_extension() -> Extension:
    """Return the extension; csrc/kernels is compiled only as part of csrc/isa."""
    sources = [*sorted(glob("csrc/*.c")), *sorted(glob("csrc/isa/*.c"))]
    if os.environ.get("FASTBP_EMULATE_AMX") == "1":
        sources[sources.index(os.path.join("csrc", "isa", "amx_cpu.c"))] = "tests/c/amx_emulator.c"
    return Extension(
        "fastbp._core",
        sources=["fastbp/_core.pyx", *sources],
        include_dirs=["csrc"],
        depends=[
            "fastbp/_fbp.pxd",
            *sorted(glob("fastbp/*.pxi")),
            *sorted(glob("csrc/**/*.h", recursive=True)),
            *sorted(glob("csrc/**/*.def", recursive=True)),
            *sorted(glob("csrc/kernels/*.c")),
        ],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


class build_ext(BuildExt):
    """Cython, then the core with the flags of the compiler at hand."""

    def finalize_options(self) -> None:
        super().finalize_options()
        # distutils compares times only: a build with another CC or sanitizer would be reused.
        self.force = True

    def run(self) -> None:
        import numpy as np
        from Cython.Build import cythonize

        (extension,) = self.extensions
        (module,) = cythonize(extension.sources[0], build_dir="build/cython", language_level=3)
        extension.sources[0] = module.sources[0]
        extension.include_dirs.append(np.get_include())
        super().run()

    def build_extensions(self) -> None:
        compile_flags, link_flags = self.compiler_flags()
        (extension,) = self.extensions
        extension.extra_compile_args += compile_flags
        extension.extra_link_args += link_flags
        if self.compiler.compiler_type != "msvc":  # whose compiler object is not thread-safe
            self.compiler.compile = compile_in_parallel(self.compiler.compile)
        super().build_extensions()

    def compiler_flags(self) -> tuple[list[str], list[str]]:
        """Return the flags to compile and to link with."""
        if self.compiler.compiler_type == "msvc":
            compile_flags, link_flags, openmp = [*MSVC_FLAGS], [], MSVC_OPENMP
        else:
            compile_flags = [*UNIX_FLAGS, *UNIX_HARDENING]
            link_flags = [*ELF_HARDENING] if sys.platform.startswith("linux") else []
            openmp = MACOS_OPENMP if sys.platform == "darwin" else UNIX_OPENMP
        sanitizers = os.environ.get("FASTBP_SANITIZE", "")
        if sanitizers:
            compile_flags += [*SANITIZER_FLAGS, f"-fsanitize={sanitizers}"]
            link_flags += [f"-fsanitize={sanitizers}"]
        elif sys.platform.startswith("linux"):
            link_flags += ELF_SMALL
        if os.environ.get("FASTBP_OPENMP") != "0":
            for openmp_compile, openmp_link in openmp:
                if self.links(OPENMP_PROGRAM, openmp_compile, openmp_link):
                    return compile_flags + openmp_compile, link_flags + openmp_link
        print("fastbp: NOTE: built without OpenMP: fits and predictions use one thread")
        return compile_flags, link_flags

    def links(self, program: str, compile_flags: list[str], link_flags: list[str]) -> bool:
        """Tell whether a program compiles and links with the given flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "program.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_flags
                )
                self.compiler.link_executable(
                    objects, str(Path(folder, "program")), extra_postargs=link_flags
                )
            except (CompileError, LinkError):
                return False
        return True


def compile_in_parallel(compile):
    """Return a compiler's ``compile`` that works on several source files at once."""

    def compile_all(sources, *args, **kwargs):
        with ThreadPool(os.cpu_count()) as pool:
            objects = pool.map(lambda source: compile([source], *args, **kwargs), sources, 1)
        return [name for names in objects for name in names]

    return compile_all


setup(ext_modules=[core_extension()], cmdclass={"build_ext": build_ext})
