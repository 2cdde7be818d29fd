"""What the figures were measured on."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.setting import cores

_PACKAGES = (
    "tensorflow", "keras", "numpy", "openvino", "onnxruntime", "tf2onnx", "scikit-learn",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return CPU, its instructions for bfloat16, cores, versions; packages that are there."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(said.get("flags", "").split())
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": said.get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "amx": "amx_bf16" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "python": sys.version.split()[0],
        "versions": versions,
    }


def machine_line(about: dict[str, Any]) -> str:
    """Return it in two lines."""
    has = {True: "with", False: "without"}
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['cpu']}, {about['cores']} cores, {has[about['amx']]} AMX, "
        f"{has[about['avx512_bf16']]} avx512_bf16\nPython {about['python']}, {versions}"
    )
