"""The kernel as the CPython extension that `pip install` builds."""

from __future__ import annotations

from sonica_fingerprint.errors import KernelError
from sonica_fingerprint.kernels import Kernel


def new_kernel() -> Kernel:
    """Return a kernel for one stream; raise KernelError where the extension was not built."""
    try:
        from sonica_fingerprint import _native
    except ImportError as missing:
        raise KernelError("the native kernel is not built here: pip install the package, or pass a kernel") from missing
    return _native.Kernel()
