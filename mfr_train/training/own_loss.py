"""A loss of stage 2 that is a Python function of the user, named as `module:function`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskgen.errors import MaskgenError, short

from ..networks.python_function import described_error, function_of, is_function

__all__ = ["called", "is_function", "source_hash"]


@lru_cache(maxsize=8)
def _loaded(name: str) -> tuple[Callable[..., Any], Path, str]:
    """The function, the file of its module, and the hash of that file. The module is imported, and so run."""
    function, source = function_of(name, "--loss")
    return function, source, hashlib.sha256(source.read_bytes()).hexdigest()


def source_hash(name: str) -> str:
    """The hash of the module of a loss. Raises `UsageError` if there is no such function."""
    return _loaded(name)[2]


def called(name: str, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """The loss of a batch of embeddings, (N, d) each. Raises `MaskgenError` if the function gives none."""
    function, source, _ = _loaded(name)
    try:
        found = function(anchor, positive, negative, margin)
    except (Exception, SystemExit) as error:
        raise MaskgenError(f"the loss {name} failed{described_error(error, source)}; fix it.") from None
    if not isinstance(found, Tensor) or found.ndim or not found.is_floating_point():
        what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else short(type(found).__name__)
        raise MaskgenError(f"the loss {name} gives {what}; it must give one number, a floating-point tensor.")
    if torch.is_grad_enabled() and not found.requires_grad:
        raise MaskgenError(f"the loss {name} does not depend on the embeddings; compute it from them, by PyTorch.")
    return found
