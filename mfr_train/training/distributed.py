"""The processes of one training: one alone, or those that `torchrun` started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from maskgen.errors import MaskgenError


@dataclass(frozen=True)
class Group:
    """`rank` of `world` processes, `local` of them on this machine; `first` writes files and shows progress."""

    rank: int = 0
    world: int = 1
    local: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def shared(self, value: str) -> str:
        """The value of the first process, in every process."""
        values = [value]
        if self.world > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over the processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Returns when every process has called it."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def processes(device: str) -> Iterator[Group]:
    """Joins the processes of `torchrun` (gloo on CPU, NCCL on GPUs), or is a group of one.

    Raises `MaskgenError` if the others have stopped.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Group()
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), world, int(os.environ.get("LOCAL_WORLD_SIZE", world)))
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise MaskgenError(
            "another process of this training stopped and reported why; fix that and run the same command again."
        ) from None
    finally:
        dist.destroy_process_group()
