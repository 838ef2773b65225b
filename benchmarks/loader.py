"""Batches for training: CPU time against bare decoding, the webdataset library and torchvision's ImageFolder.

    python benchmarks/loader.py [--src FOLDER] [--photographs 4000] [--batch 400] [--rounds 5]

The photographs are built as rendered Parquet, rendered tar and recipe; one picture of each is shown: unmasked or one
of six masks. Contestants take turns, two batches at a time, and have one worker process each; the floor is
`cv2.imdecode` of the very same JPEGs in a plain loop. For a recipe a second floor also draws the masks asked for.
Prints ratios of CPU seconds (of the worker where there is one, which is what limits pictures per second), so above 1 is
faster than the other; and what Parquet reads where fewer variants are wanted.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
import webdataset
from _common import built, machine, median, repeated, source, table
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import pil_to_tensor

import maskgen
from mfr_train.data import batches
from mfr_train.data.batches import Feed
from mfr_train.data.decoders import PREFETCHED_PIECES

STORES: dict[str, dict[str, Any]] = {
    "parquet": {},
    "tar": {"format": "webdataset"},
    "recipe": {"store": "recipe"},
}
TURN = 2
"""Batches of one turn."""

Shown = list[tuple[maskgen.Row, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=4000, help="copies fill up [4000]")
    parser.add_argument("--batch", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant [5]")
    chosen = parser.parse_args()
    machine()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = repeated(source(chosen.src, scratch), scratch / "photographs", chosen.photographs)
        for name, settings in STORES.items():
            built(src, scratch / name, workers=1, test_identities=0, **settings)
        feeds = {
            name: Feed(str(scratch / name), chosen.batch, 224, maskgen.VARIANTS, 0.5, seed=0, buffer=256)
            for name in STORES
        }
        for workers in (1, 0):
            against_decoding(feeds, workers, chosen.rounds)
        against_libraries(feeds, scratch, chosen.rounds)
        columns(scratch / "parquet")


def against_decoding(feeds: dict[str, Feed], workers: int, rounds: int) -> None:
    """Each store's batches against the decoding of the same pictures."""
    rows = []
    for name, feed in feeds.items():
        shown = drawn(feed)
        stream = batches.batches(feed, workers=workers)
        floors: dict[str, Callable[[Shown], int]] = {"cv2.imdecode": decode}
        if name == "recipe":
            floors["cv2.imdecode and draw"] = decode_and_draw
        contestants = {floor: Contestant(partial(run, shown)) for floor, run in floors.items()}
        times = turns({**contestants, "loader": Contestant(taking(stream), worker=workers > 0)}, rounds)
        for floor in floors:
            ratios = np.divide(times[floor], times["loader"])
            rows.append((name, floor, median(ratios), f"{ratios.min():.2f} .. {ratios.max():.2f}"))
    where = "one worker" if workers else "in this process"
    table(f"Bare decoding / loader, {where} (0.8 or more)", ("store", "floor", "ratio", "range"), rows)


def against_libraries(feeds: dict[str, Feed], scratch: Path, rounds: int) -> None:
    """One worker each. The libraries decode with Pillow, which is what they take by themselves.

    The webdataset library has no way to read one picture of a sample: it is told to decode only the one that is
    shown. ImageFolder has only pictures that are shown, as files.
    """
    batch = feeds["parquet"].batch
    tree = scratch / "tree"
    for number, (row, name) in enumerate(drawn(feeds["parquet"])):
        identity = tree / row.identity
        identity.mkdir(parents=True, exist_ok=True)
        (identity / f"{number}.jpg").write_bytes(row.jpeg(name))
    streams = {
        **{f"ours, {name}": batches.batches(feed, workers=1) for name, feed in feeds.items()},
        "webdataset": endless(lambda: webdataset_loader(scratch / "tar", batch)),
        "webdataset, unmasked only": endless(lambda: webdataset_loader(scratch / "tar", batch, masks=False)),
        "ImageFolder": endless(lambda: folder_loader(tree, batch)),
    }
    times = turns({name: Contestant(taking(stream), worker=True) for name, stream in streams.items()}, rounds)
    rows = []
    for name in feeds:
        for other in list(streams)[len(feeds) :]:
            ratios = np.divide(times[other], times[f"ours, {name}"])
            rows.append((name, other, median(ratios), f"{ratios.min():.2f} .. {ratios.max():.2f}"))
    table("The library's CPU seconds / ours, one worker each (above 1)", ("store", "library", "ratio", "range"), rows)


def columns(folder: Path) -> None:
    """Bytes of the columns that are read for training on one variant and on all."""
    path = next((folder / "train").glob("*.parquet"))
    meta = pq.ParquetFile(path).metadata
    sizes: dict[str, int] = {}
    for group in range(meta.num_row_groups):
        for number in range(meta.num_columns):
            column = meta.row_group(group).column(number)
            sizes[column.path_in_schema] = sizes.get(column.path_in_schema, 0) + column.total_compressed_size
    names = [name for name in sizes if not name.endswith(".bytes") and not name.endswith(".path")]
    rows = []
    for what, pictures in (
        ("all variants", ("unmasked", *maskgen.VARIANTS)),
        ("unmasked and one variant", ("unmasked", "round_low")),
        ("one variant, --masked-share 1", ("round_low",)),
    ):
        read = sum(sizes[name] for name in names) + sum(sizes[f"{name}.bytes"] for name in pictures)
        rows.append((what, f"{read:,}", read / path.stat().st_size))
    table(f"Bytes read of a shard of {path.stat().st_size:,} bytes", ("wanted", "bytes", "share"), rows)


def drawn(feed: Feed) -> Shown:
    """What the first batches show, in their order."""
    each = feed.batch // feed.lanes
    lanes = [batches.lane_rows(feed, lane) for lane in range(feed.lanes)]
    return [pair for lane in lanes for pair in itertools.islice(lane, TURN * each)]


def decode(shown: Shown) -> int:
    for row, name in shown:
        stored = name if name in row.pictures else "unmasked"
        cv2.imdecode(np.frombuffer(row.pictures[stored], np.uint8), cv2.IMREAD_COLOR_RGB)
    return len(shown)


def decode_and_draw(shown: Shown) -> int:
    for row, name in shown:
        row.image(name)
    return len(shown)


class Contestant:
    """Counts CPU seconds a picture: of this process for `run`, of its one worker for a stream with `worker`.

    With one worker it is the worker's time that limits pictures per second, and CPU seconds also mean something where
    others are at work. A worker, or a thread of this process, decodes ahead until its queue is full, so both are
    counted from rest to rest.
    """

    def __init__(self, run: Callable[[], int], worker: bool = False) -> None:
        before = {process.pid for process in multiprocessing.active_children()}
        self.run = run
        run()  # starts the worker, fills caches
        started = [process.pid for process in multiprocessing.active_children() if process.pid not in before]
        self.clock = partial(at_rest, started[0] if worker else os.getpid())

    def turn(self) -> float:
        began = self.clock()
        pictures = self.run()
        return (self.clock() - began) / pictures


def at_rest(pid: int) -> float:
    """CPU seconds of a process once it has had nothing to do for half a second but this."""
    used = -1.0
    while (now := cpu(pid)) > used + 0.01:
        used = now
        time.sleep(0.5)
    return now


def cpu(pid: int) -> float:
    """CPU seconds of all threads of a process (Linux)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def taking(stream: Iterator[Any]) -> Callable[[], int]:
    return lambda: sum(len(next(stream)[1]) for _ in range(TURN))


def turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(contestant.turn())
    return times


def endless(loader: Callable[[], Any]) -> Iterator[Any]:
    """Epoch after epoch, in the same worker."""
    made = loader()
    while True:
        yield from made


def webdataset_loader(folder: Path, batch: int, masks: bool = True) -> Any:
    shards = [str(path) for path in sorted((folder / "train").glob("*.tar"))]
    pick = itertools.cycle(
        ["unmasked", maskgen.VARIANTS[0], "unmasked", maskgen.VARIANTS[4]] if masks else ["unmasked"]
    )

    def one(sample: dict[str, Any]) -> dict[str, Any]:
        name = next(pick)
        return {"__key__": sample["__key__"], "jpg": sample[f"{name}.jpg"], "json": sample["json"]}

    pipeline = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
        .shuffle(256)
        .map(one)
        .decode("rgb8")
        .to_tuple("jpg", "json")
        .map(lambda pair: (pair[0], pair[1]["label"]))
        .batched(batch, partial=False)
    )
    return webdataset.WebLoader(
        pipeline, batch_size=None, num_workers=1, persistent_workers=True, prefetch_factor=PREFETCHED_PIECES
    )


def folder_loader(tree: Path, batch: int) -> Any:
    return DataLoader(
        ImageFolder(str(tree), transform=pil_to_tensor),
        batch_size=min(batch, sum(1 for _ in tree.rglob("*.jpg"))),
        shuffle=True,
        num_workers=1,
        persistent_workers=True,
        prefetch_factor=PREFETCHED_PIECES,
        drop_last=True,
    )


if __name__ == "__main__":
    main()
