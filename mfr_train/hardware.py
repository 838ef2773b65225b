"""What the machine has for the work: a GPU or none, and the cores that this process may use."""

from __future__ import annotations

import os

import torch

from maskgen.errors import UsageError


def device(wanted: str) -> str:
    """The device that `--device` means: `auto` is the GPU where there is one. Raises `UsageError` where there is none
    and one was asked for."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise UsageError("--device cuda, but PyTorch sees no GPU here; leave it out or say --device cpu.")
    return "cuda" if has_gpu and wanted != "cpu" else "cpu"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
