"""Compiles the kernel with the one pinned compiler: as a CPython extension, or as fingerprint.wasm.

Usage: build_kernel.py native OUTPUT [--target TRIPLE]   |   build_kernel.py wasm OUTPUT
Both come from the same C with the same floating-point rules, so that both give the same fingerprint.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

KERNEL = Path(__file__).parents[1] / "wasm" / "kernel"
STAGES = ["fingerprint.c", "spectrum.c", "bands.c", "trunk.c", "embedding.c", "resample.c", "alignment.c"]
STAGES += ["hot_index.c", "hot_search.c", "hot_votes.c", "hot_alignment.c"]
HOSTS = {
    "native": ["python_module.c", "python_alignment.c", "python_hot_index.c"],
    "wasm": ["wasm_module.c", "wasm_resample.c", "wasm_hot_index.c"],
}
# -ffp-contract=off: a fused multiply-add rounds once, WebAssembly has none.
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"]
FLAGS += ["-g0", "-Wno-c23-extensions", "-Wno-unused-const-variable"]  # #embed is C23; no file uses every table
NATIVE_FLAGS = ["-shared", "-fPIC", "-fvisibility=hidden"]
# What every machine of the last fifteen years has; AVX-512 would make it 1.8 times as fast and crash elsewhere.
PORTABLE_X86 = "-mcpu=x86_64_v2"
WASM_FLAGS = ["-target", "wasm32-freestanding", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib"]
WASM_FLAGS += ["-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=131072"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["native", "wasm"])
    parser.add_argument("output", type=Path)
    parser.add_argument("--target", help="cross-compile, e.g. x86_64-linux-gnu.2.28")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    flags = WASM_FLAGS if arguments.kind == "wasm" else native_flags(arguments.target)
    compile_kernel([*flags, *STAGES, *HOSTS[arguments.kind]], arguments.output.resolve())


def native_flags(target: str | None) -> list[str]:
    flags = [*NATIVE_FLAGS, "-I", sysconfig.get_paths()["include"]]
    machine = (target or platform.machine()).lower()
    if machine.startswith(("x86_64", "amd64")):
        flags.append(PORTABLE_X86)
    if "macos" in target if target else sys.platform == "darwin":
        flags += ["-undefined", "dynamic_lookup"]
    return flags + (["-target", target] if target else [])


def compile_kernel(arguments: list[str], output: Path) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *arguments, "-o", str(output)]
    done = subprocess.run(command, cwd=KERNEL, check=False)
    if done.returncode != 0:
        sys.exit(f"the kernel did not compile: {' '.join(command)}")


if __name__ == "__main__":
    main()
