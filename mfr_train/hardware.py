"""The hardware of this machine: whether there is a GPU, and how many cores this process may use."""

from __future__ import annotations

import os

import torch

from maskgen.errors import UsageError


def device(wanted: str) -> str:
    """The device for a setting of `--device`; `auto` is the GPU if there is one.

    Raises `UsageError` if a GPU is requested and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise UsageError("--device cuda, but PyTorch sees no GPU here; leave it out or give --device cpu.")
    return "cuda" if has_gpu and wanted != "cpu" else "cpu"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
