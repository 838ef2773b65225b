"""Checkpoints: tensors in safetensors and a JSON state file that is written last and names them.

A crash at any moment leaves the earlier checkpoint intact: the tensors get a new name, and renaming the state file
commits them. Data order and triplets are functions of (seed, iteration), so the iteration is the only random state.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from maskgen.errors import MaskgenError, UsageError
from maskgen.storage import files

from ..networks.run_files import disk_errors
from .train_settings import recorded

State = dict[str, Any]


def pack(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every tensor of a model and of its optimiser, by name."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items() if value is not None}
    return tensors


def unpack(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Restores what `pack` returned."""
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, value = name.split(".", 2)
            state.setdefault(int(number), {})[value] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def save(folder: Path, name: str, tensors: dict[str, Tensor], state: State) -> None:
    """Writes checkpoint `name` (`last`, `best`) atomically. `state["iteration"]` is part of its file name.

    Raises `MaskgenError` if a number is not finite or the disk is full: the earlier checkpoint stays.
    """
    bad = [key for key, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise not_finite(folder, f"{bad[0].split('.', 1)[-1]} is not finite")
    file = folder / f"{name}-{state['iteration']:08d}.safetensors"
    with disk_errors(file):
        folder.mkdir(parents=True, exist_ok=True)
        sha256 = write_tensors(file, tensors, {})
        files.write_json(folder / f"{name}.json", {**state, "file": file.name, "sha256": sha256})
    for old in folder.glob(f"{name}-*.safetensors"):
        if old != file:
            old.unlink(missing_ok=True)


def load(folder: Path, name: str, expected: State) -> tuple[dict[str, Tensor], State] | None:
    """A checkpoint's tensors and state; None if there is none.

    Raises `UsageError` if a fact in `expected` (data set, classes, settings ...) differs there, `MaskgenError` if the
    files are damaged.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    try:
        state: State = files.parse_json(path.read_bytes())
        if not isinstance(state, dict):
            raise ValueError
        refuse_other(path, state, expected)
        file = folder / state["file"]
        data = file.read_bytes()
        if files.sha256(file) != state["sha256"]:
            raise ValueError
        return safetensors.torch.load(data), state
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        raise MaskgenError(f"checkpoint {path} is damaged; remove {folder} and train again.") from None


def discard_unless(folder: Path, stage: str, fact: str, accepted: Sequence[str]) -> str:
    """Removes a stage's checkpoints if a fact in them is not accepted; `load` reports damaged ones.

    Returns what the fact is in the checkpoints that stay, else the first accepted value.
    """
    try:
        there = files.parse_json((folder / f"{stage}-last.json").read_bytes()).get(fact)
    except (OSError, ValueError, AttributeError):
        return accepted[0]
    if there is None or there in accepted:
        return there or accepted[0]
    for name in ("last", "best"):  # the state files first: without them the tensors do not count
        (folder / f"{stage}-{name}.json").unlink(missing_ok=True)
    for path in folder.glob(f"{stage}-*.safetensors"):
        path.unlink(missing_ok=True)
    return accepted[0]


def refuse_shorter(folder: Path, option: str, done: int, asked: int) -> None:
    """Raises `UsageError` if a run has trained for more steps than are requested now."""
    if done > asked:
        raise UsageError(f"{folder} has done {done} steps and {option} asks for {asked}; give more, or another --out.")


def refuse_other(path: Path, state: State, expected: State) -> None:
    """Raises `UsageError` that names the first fact in which a checkpoint differs from the expected ones."""
    for fact, value in expected.items():
        there = state.get(fact)
        if isinstance(value, dict) and isinstance(there, dict):
            there = recorded(there)
            fact, there, value = next(
                ((key, there.get(key), value[key]) for key in value if there.get(key) != value[key]),
                (fact, value, value),
            )
        if there != value:
            raise UsageError(
                f"checkpoint {path} has {fact} {_short(there)} where this run has {_short(value)}; "
                "give --out another folder, or repeat what it was trained with."
            )


def not_finite(folder: Path, what: str, option: str = "--lr") -> MaskgenError:
    """The error of a training that diverged; the last good checkpoint stays in `folder`."""
    kept = f"the last good checkpoint is kept in {folder}" if any(folder.glob("*.json")) else "nothing was saved"
    return MaskgenError(f"the training diverged: {what}; {kept}, so lower {option} and start again in another --out.")


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> str:
    """Writes a safetensors file atomically, with `facts` in its header; returns its SHA-256."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with files.temporary(path) as name:
        # Not save_file: its own error for a full disk says less.
        name.write_bytes(safetensors.torch.save(plain, facts))
        sha256 = files.sha256(name)
        files.publish(name, path)
    return sha256


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-1]}"
