"""Builds the kernel with the pinned compiler wherever the package is built: pyproject.toml holds all the rest."""

import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_namespace_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent


class BuildKernel(build_ext):
    """Hands the kernel to scripts/build_kernel.py: as the extension, and as fingerprint.wasm beside it."""

    def build_extension(self, ext: Extension) -> None:
        """Compile both kinds of the kernel."""
        native = Path(self.get_ext_fullpath(ext.name)).absolute()
        compile_kernel("native", native)
        wasm = native.with_name("fingerprint.wasm")
        compile_kernel("wasm", wasm)
        if self.editable_mode:  # setuptools copies extensions into the source tree, and nothing else
            shutil.copy(wasm, ROOT / "wasm" / "sonica_fingerprint")


def compile_kernel(kind: str, output: Path) -> None:
    """Compile one kind of the kernel."""
    subprocess.run([sys.executable, str(ROOT / "scripts" / "build_kernel.py"), kind, str(output)], check=True)


setup(
    packages=[
        *find_namespace_packages(include=["backend*", "schemas*"]),
        "sonica_fingerprint",
        "sonica_fingerprint.kernels",
    ],
    ext_modules=[Extension("sonica_fingerprint._native", ["wasm/kernel/fingerprint.c"], py_limited_api=True)],
    cmdclass={"build_ext": BuildKernel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
