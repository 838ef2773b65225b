"""Builds into an object store: the bytes of a folder, through faults, kills and rivals; nothing of others is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.dataset.markers import marker_name
from maskgen.dataset.verify import verify
from maskgen.errors import MaskgenError, UsageError
from maskgen.inspecting.inspect import inspect
from maskgen.storage import lease
from maskgen.storage.object_store import ObjectStorage
from tests.support.forked import use_forked_workers
from tests.support.once import once
from tests.support.processes import SMALL_PREDICTOR, Command, reaped, start

SHAPE: dict[str, Any] = {
    "size": 64,
    "shard_size": 5,
    "test_identities": 0.4,
    "format": "both",
    "limit": 18,
    "predictor": SMALL_PREDICTOR,
    "variants": "wide_high",
}
"""Three people of the fixture `tree`: 18 photographs, of which 3 are rejected. What is drawn is no matter."""


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same settings into a folder, whose bytes are the measure here."""
    folder = once(tmp_path_factory, "built-18", lambda folder: run(tree, str(folder / "smfd")))
    return folder / "smfd"


@pytest.fixture(autouse=True)
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE", 0.1)


def run(src: Path, out: str, progress: Any = None, planned: Any = None, **settings: Any) -> maskgen.Summary:
    build = maskgen.BuildSettings(src=src, out=out, **{"engine": "serial"} | SHAPE | settings)
    return maskgen.build(build, progress=progress, planned=planned)


@pytest.fixture(scope="module")
def stored(s3: Any, tree: Path) -> str:
    """`tree` as a data set in the store. Tests only read it."""
    place = f"{s3.bucket()}/sets/smfd"
    run(tree, s3.uri(place))
    return place


@pytest.fixture
def copied(s3: Any, stored: str) -> str:
    """A copy of `stored` that a test may damage."""
    place = f"{s3.bucket()}/smfd"
    for name, data in s3.objects(stored).items():
        s3.put(f"{place}/{name}", data)
    return place


def test_the_bytes_are_those_of_a_folder(s3: Any, stored: str, built: Path, hashes: Any) -> None:
    assert s3.hashes(stored) == hashes(built)
    assert s3.objects(stored).keys() - hashes(built).keys() == {".maskgen-lock", "run.json"}
    assert s3.objects(stored)[".maskgen-lock"] == b"{}\n"
    assert s3.objects(stored) == s3.sent(stored)
    assert not ObjectStorage(s3.uri(stored)).workplace.exists(), "nothing stays on the local disk"


def test_workers_change_no_byte_and_a_bucket_itself_can_be_the_place(
    s3: Any, tree: Path, built: Path, hashes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_forked_workers(monkeypatch)
    bucket = s3.bucket()
    assert run(tree, s3.uri(bucket), engine="joblib", workers=2).made == 18
    assert s3.hashes(bucket) == hashes(built)


def test_every_data_file_is_there_before_its_marker_and_the_card_before_completion(
    s3: Any, tree: Path, proxy: Any
) -> None:
    written: list[str] = []

    def choose(request: bytes) -> str:
        if request.startswith((b"PUT ", b"POST ")):
            written.append(request.split(b" ", 2)[1].decode().partition("?")[0].partition("/smfd/")[2])
        return "pass"

    run(tree, s3.uri(f"{s3.bucket()}/smfd", proxy(choose).port))
    files = [name for name in written if name != ".maskgen-lock"]
    assert len(files) == len(set(files)) + 1, "one PUT a file, but for dataset.json, which is first and last"
    assert files[:2] == ["dataset.json", "plan.parquet"]
    assert files[-4:] == ["rejects.parquet", "README.md", "dataset.json", "run.json"]
    shards = files[2:-4]
    assert len(shards) % 3 == 0
    for parquet, tar, marker in zip(*(iter(shards),) * 3, strict=True):
        assert (Path(parquet).suffix, Path(tar).suffix, Path(marker).suffix) == (".parquet", ".tar", ".json")
        assert parquet[:-8] == tar[:-4] == marker[:-5].replace("__markers/", "").replace("-", "/")


def test_a_finished_data_set_is_left_alone_and_other_settings_are_refused(s3: Any, tree: Path, stored: str) -> None:
    before = s3.objects(stored)
    stood: list[tuple[int, int]] = []
    assert run(tree, s3.uri(stored), planned=lambda *counts: stood.append(counts)).made == 0
    assert stood == [(18, 18)]
    place = f"s3://{stored}"
    with pytest.raises(UsageError, match=rf"--out {place} was built with other settings \(quality 95 there and 90"):
        run(tree, s3.uri(stored), quality=90)
    assert s3.objects(stored) == before


@pytest.mark.parametrize(
    "name", ["__markers/train-00001.json", "train/00001.parquet", "rejects.parquet", "README.md", "plan.parquet"]
)
def test_only_what_is_missing_is_made_again(
    s3: Any, tree: Path, copied: str, built: Path, hashes: Any, name: str
) -> None:
    s3.delete(f"{copied}/{name}")
    assert run(tree, s3.uri(copied)).made == (5 if "train" in name else 0)
    assert s3.hashes(copied) == hashes(built)


def test_it_is_read_inspected_and_verified(s3: Any, stored: str, built: Path) -> None:
    uri = s3.uri(stored)
    here, there = maskgen.open(built), maskgen.open(uri)
    assert (len(there), there.info, there.splits) == (len(here), here.info, here.splits)
    for one, other in zip(here, there, strict=True):
        assert (one.key, one.source, one.label, one.pictures, one.colors) == (
            other.key,
            other.source,
            other.label,
            other.pictures,
            other.colors,
        )
        assert (one.landmarks == other.landmarks).all()
    assert verify(uri) == verify(built)
    inspected = CliRunner().invoke(maskgen_command, ["inspect", uri])
    assert inspected.exit_code == 0, inspected.output
    local = CliRunner().invoke(maskgen_command, ["inspect", str(built)])
    assert inspected.output.replace(f"s3://{stored}", str(built)) == local.output
    assert inspect(uri).replace(f"s3://{stored}", str(built)) == inspect(str(built))
    verified = CliRunner().invoke(maskgen_command, ["verify", uri])
    assert "is intact: 15 rows + 3 rejects = 18 photographs" in verified.output
    assert "test-secret" not in verified.output + inspected.output


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("val/00000.parquet", lambda data: data[:-1], r"shard val/00000 is broken: 00000.parquet has \d+ bytes"),
        ("test/00001.tar", lambda data: data[:512] + b"!" + data[513:], "00001.tar has other bytes than its marker"),
        pytest.param(
            "train/00001.parquet",
            lambda data: b"",
            r"00001.parquet has 0 bytes and its marker says \d+",
            marks=pytest.mark.slow,
        ),
        ("train/00000.tar", None, r"shard train/00000 is broken: 00000\.tar is missing"),
        ("__markers/train-00000.json", None, "its marker is missing"),
        ("plan.parquet", None, "plan.parquet cannot be read"),
        ("README.md", None, "README.md is missing"),
    ],
)
def test_verify_names_what_is_damaged_and_the_build_mends_it(
    s3: Any, tree: Path, copied: str, built: Path, hashes: Any, name: str, damage: Any, words: str
) -> None:
    whole = s3.objects(copied)[name]
    if damage is None:
        s3.delete(f"{copied}/{name}")
    else:
        s3.put(f"{copied}/{name}", damage(whole))
    with pytest.raises(MaskgenError, match=words) as caught:
        verify(s3.uri(copied))
    assert f"s3://{copied}/" in str(caught.value)
    assert "run the same `maskgen build` command again" in str(caught.value)
    if name.endswith((".parquet", ".tar")) and "/" in name:
        s3.delete(f"{copied}/{marker_name(name.split('/')[0], int(Path(name).stem))}")  # what the sentence advises
    run(tree, s3.uri(copied))
    assert s3.hashes(copied) == hashes(built)


def test_damage_is_told_by_the_reader_and_silence_is_not_damage(s3: Any, copied: str, proxy: Any) -> None:
    deaf = [False]
    between = proxy(lambda _: DENIED if deaf[0] else "pass")
    dataset = maskgen.open(s3.uri(copied, between.port))
    rows = dataset.rows("train")
    next(rows)
    deaf[0] = True
    with pytest.raises(MaskgenError, match=rf"^s3://{copied} is refused .*; give credentials"):
        list(dataset.rows("train"))
    deaf[0] = False
    s3.put(f"{copied}/train/00001.parquet", s3.objects(copied)["train/00001.parquet"][:-9])
    with pytest.raises(MaskgenError, match=r"train/00001.parquet cannot be read .*`maskgen verify` says"):
        list(dataset.rows("train"))
    s3.delete(f"{copied}/dataset.json")
    with pytest.raises(UsageError, match=rf"there is no data set in s3://{copied} \(dataset.json is missing\)"):
        maskgen.open(s3.uri(copied))


BODY = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
DENIED = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.parametrize("command", ["build", "inspect", "verify"])
@pytest.mark.parametrize(
    ("place", "words", "code"),
    [
        ("no-such-bucket/smfd", "there is no (bucket of|data set in) s3://no-such-bucket/smfd", 2),
        ("denied/smfd", "s3://denied/smfd is refused", 1),
        ("dead/smfd", "the store of s3://dead/smfd does not answer .*run the same command again", 1),
        ("bad", "cannot open s3://.*regoin", 2),
    ],
)
def test_a_store_that_will_not_is_one_sentence(
    s3: Any, tree: Path, proxy: Any, monkeypatch: pytest.MonkeyPatch, command: str, place: str, words: str, code: int
) -> None:
    monkeypatch.setattr("maskgen.storage.client.RETRIES", 2)
    between = proxy(lambda _: DENIED if "denied" in place else "pass")
    if "dead" in place:
        between.close()
    uri = s3.uri(place, between.port) + ("&regoin=x" if place == "bad" else "")
    arguments = ["build", "--src", str(tree), "--out", uri] if command == "build" else [command, uri]
    result = CliRunner().invoke(maskgen_command, arguments)
    assert result.exit_code == code, result.output
    assert re.search(words, result.output), result.output
    assert result.output.count("\n") == 1
    assert "test-secret" not in result.output


def test_credentials_are_in_nothing_that_is_written(s3: Any, stored: str) -> None:
    for name, data in s3.objects(stored).items():
        assert b"test-secret" not in data, name
        assert b"test-key" not in data, name
    command = json.loads(s3.objects(stored)["run.json"])["command"]
    assert command["out"].startswith(f"s3://***@{stored}?scheme=http")


def test_somebody_elses_objects_are_refused_and_kept(s3: Any, tree: Path) -> None:
    for name in ("thesis.txt", "train/00000.parquet", "README.md"):
        place = f"{s3.bucket()}/smfd"
        s3.put(f"{place}/{name}", b"mine")
        for overwrite in (False, True):
            with pytest.raises(UsageError, match=rf"--out s3://{place} holds '.*' and is not a data set of maskgen"):
                run(tree, s3.uri(place), overwrite=overwrite)
        assert s3.objects(place) == {name: b"mine"}


def test_overwrite_removes_what_we_made_and_nothing_else(s3: Any, tree: Path, built: Path, hashes: Any) -> None:
    place = f"{s3.bucket()}/smfd"
    run(tree, s3.uri(place), shard_size=2, quality=50)
    mine = ["notes.txt", "train/notes.txt", "train/00000.png", "train/deep/00000.parquet", "models/00000.json"]
    for name in (*mine, "../smfd2/train/00000.parquet"):
        s3.put(os.path.normpath(f"{place}/{name}"), b"mine")
    assert run(tree, s3.uri(place), overwrite=True).made == 18
    found = s3.objects(place)
    assert {name: found.get(name) for name in mine} == dict.fromkeys(mine, b"mine")
    empty = {name for name, data in found.items() if name.endswith("/") or not name}
    assert all(found[name] == b"" for name in empty), "Arrow's places of folders"
    assert s3.hashes(place).items() - {name: s3.hashes(place)[name] for name in (*mine, *empty)}.items() == (
        hashes(built).items()
    )
    assert s3.objects(f"{place}2") == {"train/00000.parquet": b"mine"}


def test_a_build_killed_between_removing_and_writing_can_be_repeated(s3: Any, tree: Path, copied: str) -> None:
    from maskgen.pipeline.existing import remove

    remove(ObjectStorage(s3.uri(copied)))
    assert all(data == b"" or name == ".maskgen-lock" for name, data in s3.objects(copied).items())
    assert run(tree, s3.uri(copied)).made == 18


@contextlib.contextmanager
def failing(said: list[str]) -> Iterator[None]:
    """Keeps the sentence of a failure in the last place of `said`."""
    try:
        yield
    except MaskgenError as error:
        said[-1] = str(error)


FAULTS = ("drop", "lose", "cut", "behead", "late", "busy")


@pytest.mark.parametrize(
    ("seed", "rate", "workers"),
    [(1, 0.2, 1), pytest.param(2, 0.3, 1, marks=pytest.mark.slow), pytest.param(3, 0.25, 2, marks=pytest.mark.slow)],
)
def test_a_build_through_faults_ends_or_resumes_in_the_same_bytes(
    s3: Any, tree: Path, built: Path, hashes: Any, proxy: Any, monkeypatch: Any, seed: int, rate: float, workers: int
) -> None:
    monkeypatch.setattr("maskgen.storage.client.RETRIES", 3)
    place = f"{s3.bucket()}/smfd"
    between = proxy(seed=seed, rate=rate, kinds=FAULTS)
    engine = {"engine": "joblib", "workers": workers} if workers > 1 else {}
    said = ["the first"]
    while said[-1]:
        said.append("")
        with failing(said):
            run(tree, s3.uri(place, between.port), **engine)
        if len(said) > 6:
            between.choose = lambda _: "pass"  # the network is mended at last
    for sentence in said[1:-1]:
        assert "run the same command again" in sentence
        assert place in sentence
        assert "test-secret" not in sentence
    assert sum(between.fates[fate] for fate in FAULTS) > 10
    assert s3.hashes(place) == hashes(built)
    assert verify(s3.uri(place))["rows"] == 15


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("options", "times"), [(("--engine=serial",), 2), pytest.param(("--workers=2",), 2, marks=pytest.mark.slow)]
)
def test_a_build_killed_at_random_moments_ends_in_the_same_bytes(
    s3: Any,
    tree: Path,
    built: Path,
    hashes: Any,
    proxy: Any,
    options: tuple[str, ...],
    times: int,
    chance: random.Random,
) -> None:
    """The moments are requests: a build is killed in the midst of one, before or after the store has heard of it."""
    place = f"{s3.bucket()}/smfd"
    left = [0]
    process: list[Command] = []

    def choose(request: bytes) -> str:
        left[0] -= 1
        if left[0] == 0:
            if chance.random() < 0.5:
                time.sleep(chance.random() * 0.05)
            os.killpg(process[-1].pid, signal.SIGKILL)
            return chance.choice(("drop", "pass"))
        return "pass"

    between, killed = proxy(choose), 0
    for _ in range(times):
        left[0] = chance.randrange(3, 60)
        process[:] = [start(tree, s3.uri(place, between.port), *options, shape=SHAPE)]
        with reaped(process[-1]):
            killed += process[-1].wait(300) == -signal.SIGKILL
    assert killed, "no build was killed"
    with contextlib.suppress(UsageError):
        maskgen.open(s3.uri(place))  # complete or not finished, never broken
    run(tree, s3.uri(place))
    assert s3.hashes(place) == hashes(built)
    assert not ObjectStorage(s3.uri(place)).workplace.exists(), "what killed builds left on the disk is gone"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_build_stopped_by_hand_gives_its_lease_back(
    s3: Any, tree: Path, built: Path, hashes: Any, proxy: Any, stop: signal.Signals
) -> None:
    place, left = f"{s3.bucket()}/smfd", [40]
    process: list[Command] = []

    def choose(request: bytes) -> str:
        left[0] -= 1
        if left[0] == 0:
            os.killpg(process[-1].pid, stop)
        return "pass"

    process[:] = [start(tree, s3.uri(place, proxy(choose).port), "--engine=serial", shape=SHAPE)]
    with reaped(process[-1]):
        _, errors = process[-1].communicate(timeout=300)
    assert process[-1].returncode == 130, errors
    assert errors.strip().endswith("stopped; run the same command again to resume.")
    assert "Traceback" not in errors
    assert s3.objects(place)[".maskgen-lock"] == b"{}\n"
    run(tree, s3.uri(place))
    assert s3.hashes(place) == hashes(built)


def test_two_builds_do_not_work_on_one_place(
    s3: Any, tree: Path, built: Path, hashes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW", 0.5)
    place = f"{s3.bucket()}/smfd"
    said: list[str] = []

    def another(marker: Any) -> None:
        if not said:
            process = start(tree, s3.uri(place), "--overwrite", shape=SHAPE)
            said.append(process.communicate(timeout=300)[1])

    run(tree, s3.uri(place), progress=another)
    assert f"another build (process {os.getpid()} on " in said[0]
    assert said[0].endswith(f"is at work in s3://{place}; wait for it or stop it first.\n")
    assert s3.hashes(place) == hashes(built)


def test_a_build_whose_lease_was_taken_stops_and_the_same_call_goes_on(
    s3: Any, tree: Path, built: Path, hashes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW", 0.05)
    monkeypatch.setattr(lease, "STALE", 1.0)
    place = f"{s3.bucket()}/smfd"

    def take(marker: Any) -> None:
        s3.put(f"{place}/.maskgen-lock", b'{"token": "another", "pid": 1, "host": "far"}')
        time.sleep(1)

    with pytest.raises(MaskgenError, match=rf"another build has taken over s3://{place}; let it finish"):
        run(tree, s3.uri(place), progress=take)
    assert 0 < run(tree, s3.uri(place)).made < 18
    assert s3.hashes(place) == hashes(built)


@pytest.mark.parametrize("when", ["before a shard", "after the last"])
def test_a_plan_that_became_another_one_is_not_called_complete(s3: Any, tree: Path, stored: str, when: str) -> None:
    place = f"{s3.bucket()}/smfd"
    shape = {"limit": 20, "test_identities": 0} | ({} if when == "before a shard" else {"shard_size": 20})
    left = [1 if when == "before a shard" else 2]

    def replace(marker: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            s3.put(f"{place}/plan.parquet", s3.objects(stored)["plan.parquet"])

    with pytest.raises(MaskgenError, match=r"the plan in .* became another one during the build"):
        run(tree, s3.uri(place), progress=replace, **shape)
    assert left[0] <= 0
    with pytest.raises(UsageError, match="is not finished"):
        maskgen.open(s3.uri(place))


def test_file_uris_are_folders(tree: Path, tmp_path: Path, built: Path, hashes: Callable[[Path], Any]) -> None:
    out = tmp_path / "ä smfd"
    assert run(tree, out.as_uri()).out == out
    assert hashes(out) == hashes(built)
    with pytest.raises(UsageError, match="lie inside each other"):
        run(tree, (tree / "smfd").as_uri())
    assert verify(out.as_uri())["rows"] == 15


def test_source_and_output_may_not_lie_inside_each_other(s3: Any) -> None:
    bucket = s3.bucket()
    for src, out in ((bucket, f"{bucket}/smfd"), (f"{bucket}/photographs", bucket), (f"{bucket}/a", f"{bucket}/a")):
        with pytest.raises(UsageError, match=r"--out s3://.* and --src s3://.* lie inside each other") as caught:
            maskgen.build(src=s3.uri(src), out=s3.uri(out))
        assert "test-secret" not in str(caught.value)
    assert s3.objects(bucket) == {}
