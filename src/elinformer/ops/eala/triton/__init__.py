"""EALA in Triton: the only package that imports triton, and only when a kernel is to run.

docs/gpu.md has the design, the derivation of the backward and the measurements.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from elinformer.ops.eala.triton.layout import DTYPES, MAX_WIDTH, empty_gradient, empty_output, empty_state

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "apply",
    "backward",
    "empty_gradient",
    "empty_output",
    "empty_state",
    "forward",
    "gather",
    "is_available",
    "key_backward",
    "query_backward",
    "supports",
]

OLDEST_GPU = (8, 0)  # compute capability: the first with TF32 and bfloat16
OLDEST_TRITON = (3, 5)


def is_available(device: torch.device | str) -> bool:
    """Say if the kernels can run on a device: an NVIDIA GPU, or the CPU under Triton's interpreter."""
    return why_not(device) is None


def why_not(device: torch.device | str) -> str | None:
    """Return the reason why the kernels cannot run on a device; None where they can."""
    device = torch.device(device)
    oldest = ".".join(map(str, OLDEST_TRITON))
    try:
        if tuple(map(int, version("triton").split(".")[:2])) < OLDEST_TRITON:
            return f"Triton {version('triton')} is installed, and {oldest} is needed"
    except PackageNotFoundError:
        return 'Triton is not installed: pip install "elinformer[triton]"'
    if device.type == "cpu":
        return None if os.environ.get("TRITON_INTERPRET") == "1" else "it runs on GPUs, and the tensors are on the CPU"
    if device.type != "cuda" or torch.version.cuda is None:
        return f"it needs a GPU of NVIDIA, and the tensors are on {device}"
    if torch.cuda.get_device_capability(device) < OLDEST_GPU:
        return f"the GPU is older than compute capability {'.'.join(map(str, OLDEST_GPU))}"
    return None if has_compiler() else "Triton needs a C compiler, and there is none: install gcc, or name one in CC"


@cache
def has_compiler() -> bool:
    """Tell if there is a C compiler, with which Triton builds its launchers."""
    return any(shutil.which(name) for name in (os.environ.get("CC") or "gcc", "gcc", "clang"))


def supports(query: Tensor, value: Tensor) -> bool:
    """Say if the kernels take tensors of such dtype and head dims."""
    return query.dtype in DTYPES and max(query.shape[-1], value.shape[-1]) <= MAX_WIDTH


def forward(  # noqa: PLR0917 - the order of the operator's schema
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_mask: Tensor | None,
    scale: float,
    feature_map: str,
    is_causal: bool,
) -> tuple[Tensor, Tensor]:
    """Return the output, and the state of the keys for `backward`.

    Args:
        query: (*lead, Lq, E), raw, in any memory layout whose last dimension is dense.
        key: (*lead, Lk, E).
        value: (*lead, Lk, Ev).
        key_mask: (*lead, Lk), True = takes part.
        scale: Multiplies phi(query).
        feature_map: phi: "relu", "softplus" or "identity".
        is_causal: Query i sees keys 0..i.
    """
    from elinformer.ops.eala.triton.launch import run_forward

    return run_forward(query, key, value, key_mask, scale=scale, feature_map=feature_map, is_causal=is_causal)


def backward(  # noqa: PLR0917 - the order of the operator's schema
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_mask: Tensor | None,
    state: Tensor,
    scale: float,
    feature_map: str,
    is_causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of raw query, key and value, from the inputs of `forward` and the state it gave."""
    from elinformer.ops.eala.triton.launch import run_backward

    return run_backward(
        grad, query, key, value, key_mask, state=state, scale=scale, feature_map=feature_map, is_causal=is_causal
    )


def gather(key: Tensor, value: Tensor, key_mask: Tensor | None, feature_map: str) -> Tensor:
    """Return the same as `elinformer.ops.eala.eager.gather`."""
    from elinformer.ops.eala.triton.launch import run_gather

    return run_gather(key, value, key_mask, feature_map)


def apply(query: Tensor, state: Tensor, scale: float, feature_map: str) -> Tensor:
    """Return the same as `elinformer.ops.eala.eager.apply`, laid out as `empty_output` says."""
    from elinformer.ops.eala.triton.launch import run_apply

    return run_apply(query, state, scale, feature_map)


def query_backward(grad: Tensor, query: Tensor, state: Tensor, scale: float, feature_map: str) -> tuple[Tensor, Tensor]:
    """Return the same as `elinformer.ops.eala.eager.query_backward`, laid out as `empty_gradient` says."""
    from elinformer.ops.eala.triton.launch import run_query_backward

    return run_query_backward(grad, query, state, scale, feature_map)


def key_backward(  # noqa: PLR0917 - as the operator's schema
    key: Tensor, value: Tensor, key_mask: Tensor | None, state: Tensor, of_state: Tensor, feature_map: str
) -> tuple[Tensor, Tensor]:
    """Return the same as `elinformer.ops.eala.eager.key_backward`, laid out as `empty_gradient` says."""
    from elinformer.ops.eala.triton.launch import run_key_backward

    return run_key_backward(key, value, key_mask, state, of_state, feature_map)
