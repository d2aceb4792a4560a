"""How many cores there are for this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of control groups 2, as containers see their own


def cores() -> int:
    """Return what the machine, this process's affinity and its container's quota leave, at least 1.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(available, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # none, another system's, or "max"
        return available
