"""Machine, versions and code of a run."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from elinformer._processor import INSTRUCTIONS, emulates_bfloat16, processor_features

CODE = ("data", "evaluation", "models", "nn", "ops", "training", "adapters", "forecaster.py")
"""Files and folders of the package that scores depend on."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Return processor, cores and memory, ready for JSON."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
    }


def describe_installation() -> dict[str, Any]:
    """Return what a bug report needs: versions, the machine, and which kernel of the attention runs and why."""
    import torch

    from elinformer.ops import backend_for
    from elinformer.ops.eala import cpu, triton

    on_cpu, features = torch.zeros(1, 1), processor_features()
    instructions = next((name for name, needed in INSTRUCTIONS.items() if needed <= features), "generic")
    refused = cpu.why_not(on_cpu)
    document = {
        "versions": versions("pandas", "pyarrow", "narwhals", "safetensors", "h5py", "triton"),
        **describe_machine(),
        "instructions": instructions,
        "bfloat16": "emulated, slower than float32" if emulates_bfloat16() else "by the processor, or not known",
        "threads": torch.get_num_threads(),
        "device": describe_device("cuda"),
        "attention_on_cpu": f"{backend_for(on_cpu)}, because {refused}" if refused else f"the C kernel, {instructions}",
    }
    if torch.cuda.is_available():
        on_gpu = torch.zeros(1, 1, device="cuda")
        missing = triton.why_not(on_gpu.device)
        document["attention_on_gpu"] = f"{backend_for(on_gpu)}, because {missing}" if missing else "the Triton kernels"
    return document


def describe_device(device: str) -> str:
    """Return the name of the GPU of a run, or "cpu"."""
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if device == "mps" else "cpu"


def versions(*others: str) -> dict[str, str]:
    """Return the versions of Python, of the packages that scores depend on, and of `others` that are installed."""
    found = {"python": platform.python_version()}
    for name in ("elinformer", "torch", "numpy", "pytorch-lightning", "neuralforecast", *others):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def code_fingerprint() -> str:
    """Return a hash of the library's own code, which tells results of different code apart."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for name in CODE:
        for file in sorted((root / name).rglob("*.py")) or [root / name]:
            if file.is_file():
                digest.update(file.relative_to(root).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
