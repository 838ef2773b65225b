"""Shards made one after the other in one process: the disk is waited for while the next shard is drawn."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maskgen
from maskgen.errors import MaskgenError
from maskgen.pipeline import sample, shard

LONG = 120
"""Seconds after which something that must happen counts as not happening; it takes milliseconds."""


def test_a_shard_is_committed_while_the_next_is_drawn(
    tree: Path, built: Path, make: Callable[..., Path], tmp_path: Path, hashes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, met = [threading.Event() for _ in range(10)], []
    replace, make_samples = os.replace, sample.make_samples

    def watched_samples(*arguments: Any) -> Any:
        yield from make_samples(*arguments)
        next(event for event in drawn if not event.is_set()).set()

    def watched_replace(written: Any, path: Any) -> None:
        shards = sum(event.is_set() for event in drawn)
        if Path(path).suffix == ".tar" and shards == 1:  # the first shard waits for the second, which must not wait
            met.append(drawn[1].wait(LONG))
        replace(written, path)

    monkeypatch.setattr(shard, "make_samples", watched_samples)
    monkeypatch.setattr(os, "replace", watched_replace)
    out = make(tree, tmp_path / "smfd", format="both")
    assert met == [True]
    assert hashes(out) == hashes(built)


def test_a_shard_is_answered_for_only_when_its_marker_is_there(
    tree: Path, tmp_path: Path, make: Callable[..., Path]
) -> None:
    out, seen = tmp_path / "smfd", []

    def progress(_: Any) -> None:
        seen.append(len(list(out.glob("__markers/*.json"))))

    settings = {"engine": "serial", "size": 96, "shard_size": 5, "test_identities": 0.4}
    maskgen.build(maskgen.BuildSettings(src=tree, out=out, **settings), progress=progress)
    assert len(seen) > 4
    assert all(markers >= number for number, markers in enumerate(seen, 1))


def test_what_fails_in_the_thread_is_one_sentence_and_is_made_again(
    tree: Path, built: Path, make: Callable[..., Path], tmp_path: Path, hashes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, left = os.replace, [7]

    def full_disk(written: Any, path: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        replace(written, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_disk)
        with pytest.raises(MaskgenError, match=r"cannot write shard \w+/\d+ in .*: No space left on device; make room"):
            make(tree, tmp_path / "smfd", format="both")
    assert left == [0], "nothing is committed after a commit that failed"
    assert not list((tmp_path / "smfd").rglob("*.tmp")), (
        "neither the failed shard nor the one drawn meanwhile leaves files"
    )
    assert hashes(make(tree, tmp_path / "smfd", format="both")) == hashes(built)
