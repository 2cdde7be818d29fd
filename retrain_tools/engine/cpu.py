"""What this machine computes with: its cores, its CPU and what that can do."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

_FASTER_IN_BFLOAT16 = ("amx_bf16", "avx512_bf16")  # as Linux calls them


def usable_cores() -> int:
    """Return how many cores this process may use, which on a shared machine is not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """Return the CPU's name, as it tells it itself."""
    return _described().get("model name") or platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16 numbers; False where the system does not tell."""
    return not set(_FASTER_IN_BFLOAT16).isdisjoint(_described().get("flags", "").split())


@functools.cache
def _described() -> dict[str, str]:
    """Return what Linux says of the first CPU; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = text.split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
