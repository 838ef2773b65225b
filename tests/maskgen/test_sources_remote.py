"""Sources on a real S3 server and on file systems that fail: the local listing and bytes, or one sentence."""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskgen.errors import MaskgenError, UsageError
from maskgen.sources import place, remote
from maskgen.sources.listing import photographs
from maskgen.sources.reader import Reader
from maskgen.storage import client
from maskgen.storage.uri import plain, redacted
from tests.support.fault_proxy import FaultProxy
from tests.support.forked import use_forked_workers
from tests.support.processes import SMALL_PREDICTOR

NAMES = [
    "bob/b.webp",
    "ann/deep/er/2.JPEG",
    "ann/deep.jpg",
    "ann/deep-1.jpg",
    "ann/1.jpg",
    "Zoe/z.PgM",
    "ann/notes.txt",
    "stray.jpg",
    "a b/c d.jpg",
    "a.b.c/d.e.f.jpg",
    "ä/日本語 ñ.jpg",
    "quote'\"+%20&?=#/~!.jpg",
    "LICENSE.md",
]


def upload(s3: Any, folder: Path, place: str) -> str:
    """Copies a local folder to a place in a bucket, which is made; returns its URI."""
    s3.bucket(place.partition("/")[0])
    for path in folder.rglob("*"):
        if path.is_file():
            s3.put(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    uri: str = s3.uri(place)
    return uri


@pytest.mark.parametrize("vggface2", [False, True])
def test_a_remote_tree_is_listed_as_the_local_one(
    tmp_path: Path, s3: Any, write_tree: Callable[..., Path], vggface2: bool
) -> None:
    names = [f"{split}/{name}" for split in ("train", "test") for name in NAMES] if vggface2 else [*NAMES]
    names += [f"{'train/' * vggface2}n{number:03d}/1.jpg" for number in range(2 * remote.AT_ONCE)]
    write_tree(tmp_path, {name: b"x" * number for number, name in enumerate(names)})
    uri = upload(s3, tmp_path, f"tree-{int(vggface2)}")
    expected = list(photographs(tmp_path))
    assert len(expected) == len(names) - (4 if vggface2 else 2)
    assert list(photographs(uri)) == expected
    assert list(photographs(f"file://{tmp_path}")) == expected


@pytest.mark.parametrize(
    "beside",
    ["meta/deep/notes.txt", "val/deep/er/1.jpg", ".val/n3/1.jpg", "train/n1/.x/1.jpg", "train/._n/1.jpg", ".x.jpg"],
)
@pytest.mark.parametrize("split", [True, False])
def test_a_remote_tree_has_the_layout_of_the_local_one(
    tmp_path: Path, s3: Any, write_tree: Callable[..., Path], beside: str, split: bool
) -> None:
    names = ("train/n1/1.jpg", "test/n2/1.jpg") if split else ("train/1.jpg", "test/1.jpg")
    write_tree(tmp_path, dict.fromkeys((*names, beside), b""))

    def told(listing: Callable[[], Any]) -> Any:
        try:
            return list(listing())
        except UsageError as error:
            return str(error).replace(str(tmp_path), plain(uri))

    uri = upload(s3, tmp_path, s3.bucket())
    found = told(lambda: photographs(uri))
    assert found == told(lambda: photographs(tmp_path))
    if beside.startswith("val") and split:
        assert "move val/ out of it" in found


@pytest.fixture(scope="module")
def packed(
    tree: Path,
    tmp_path_factory: pytest.TempPathFactory,
    write_pack: Callable[..., Path],
    write_tar: Callable[..., Path],
) -> Path:
    """The photographs of `tree` once as a folder, as tars, as Parquet and as a RecordIO pack."""
    top = tmp_path_factory.mktemp("packed")
    shutil.copytree(tree, top / "folders")
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*.jpg"))
    files = {name: (tree / name).read_bytes() for name in names}
    for half in range(2):
        write_tar(top / f"tar/x-{half}.tar", {name: files[name] for name in names[half * 15 : half * 15 + 15]})
    (top / "parquet").mkdir()
    people = [name.partition("/")[0] for name in names]
    pq.write_table(
        pa.table({"image": list(files.values()), "identity": people}), top / "parquet/x.parquet", row_group_size=7
    )
    write_pack(top / "recordio", [(float("abcde".index(name[0])), data) for name, data in files.items()])
    return top


SHAPE = {"size": 64, "variants": "wide_high", "predictor": SMALL_PREDICTOR}
"""Of the builds here: what is drawn is no matter."""

Local = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def local(
    packed: Path, make: Callable[..., Path], hashes: Callable[[Path], dict[str, str]], tmp_path_factory: Any
) -> Local:
    """The hashes of the data set that a kind of source gives without a store."""
    return functools.cache(lambda kind: hashes(make(packed / kind, tmp_path_factory.mktemp(kind) / "smfd", **SHAPE)))


@pytest.fixture(scope="module")
def uploaded(packed: Path, s3: Any) -> str:
    upload(s3, packed, "packed")
    return "packed"


@pytest.mark.parametrize("kind", ["folders", "tar", "parquet", "recordio"])
def test_a_remote_source_gives_the_data_set_of_the_local_one(
    local: Local,
    uploaded: str,
    s3: Any,
    kind: str,
    make: Callable[..., Path],
    hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = make(s3.uri(f"{uploaded}/{kind}"), tmp_path / "remote", **SHAPE)
    assert hashes(there) == local(kind)
    assert pq.read_table(there / "plan.parquet").num_rows == 30
    assert json.loads((there / "run.json").read_bytes())["command"]["src"] == redacted(s3.uri(f"{uploaded}/{kind}"))
    assert not any(b"test-secret" in path.read_bytes() for path in there.rglob("*.json"))
    if kind == "tar":
        pattern = s3.uri(f"{uploaded}/tar/x-{{0..1}}.tar")
        use_forked_workers(monkeypatch)
        workers = make(pattern, tmp_path / "workers", workers=2, engine="joblib", **SHAPE)
        assert hashes(workers) == local(kind)


def test_a_remote_file_that_changed_or_went_stops_the_build(tmp_path: Path, s3: Any) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann/1.jpg").write_bytes(b"four")
    uri = upload(s3, tmp_path, "changing")
    [found] = [found._asdict() for found in photographs(uri)]
    with Reader(uri) as reader:
        assert reader.read(found) == b"four"
        with pytest.raises(UsageError, match=r"changing/ann/1\.jpg has 4 bytes but had 5 .*--overwrite"):
            reader.read({**found, "bytes": 5})
        s3.delete("changing/ann/1.jpg")
        with pytest.raises(UsageError, match=r"s3://changing/ann/1\.jpg was planned and is no longer there"):
            reader.read(found)


@pytest.mark.parametrize("path", ["nothing", "nothing/x-{0..3}.tar", "nothing/x.parquet"])
def test_a_remote_source_that_is_not_there_is_one_sentence(
    uploaded: str, s3: Any, path: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"s3://packed/nothing") as caught:
        make(s3.uri(f"{uploaded}/{path}"), tmp_path / "out")
    assert "test-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_gone_is_one_sentence_without_keys(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path], tmp_path: Path
) -> None:
    monkeypatch.setattr(client, "RETRIES", 1)
    uri = "s3://mykey:mysecret@bucket/folder?scheme=http&endpoint_override=127.0.0.1:9&region=us-east-1"
    with pytest.raises(MaskgenError, match=r"the store of s3://bucket/folder does not answer \(.*refused\)") as caught:
        make(uri, tmp_path / "out")
    assert "mysecret" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/x.tar", "/x-{0..3}.tar"])
def test_a_source_that_is_refused_is_one_sentence_after_one_request(
    s3: Any, proxy: Any, make: Callable[..., Path], tmp_path: Path, path: str
) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    denied = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    between = proxy(lambda _: denied)
    with pytest.raises(MaskgenError) as caught:
        make(s3.uri(f"bucket/photographs{path}", between.port), tmp_path / "out")
    assert re.fullmatch(
        r"s3://bucket/photographs\S* is refused \((AccessDenied: Access Denied|403 Forbidden)\); "
        "give credentials that may use it and run the same command again.",
        str(caught.value),
    )
    assert between.fates == {"answer": 1}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("s3://key:secret@bucket/a@b?session_token=secret", "s3://bucket/a@b"),
        ("s3://key:sec/ret@bucket/a", "s3://bucket/a"),
        ("s3://key:s@cret@bucket", "s3://bucket"),
        ("/a/b?c@d", "/a/b?c@d"),
    ],
)
def test_messages_show_no_keys(uri: str, shown: str) -> None:
    assert plain(uri) == shown


def test_an_uri_that_is_none(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot open nonsense://.*bucket") as caught:
        make("nonsense://key:secret@bucket", tmp_path / "out")
    assert "secret" not in str(caught.value)


KINDS = ["folders", "tar", "parquet", "recordio"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["drop", "lose", "cut", "behead", "late", "busy"])
def test_a_source_is_read_through_every_kind_of_fault(
    packed: Path, uploaded: str, s3: Any, proxy: Any, kind: str, fault: str
) -> None:
    """Every second request fails: the listing and each photograph are those of the local source."""
    count = itertools.count()
    between = proxy(lambda _: fault if next(count) % 2 == 0 else "pass")
    uri = s3.uri(f"{uploaded}/{kind}", between.port)
    found = list(photographs(uri))
    assert found == list(photographs(packed / kind))
    chosen = [entry._asdict() for entry in found[::6]]
    with Reader(uri) as far, Reader(str(packed / kind)) as near:
        assert [data for _, data in far.each(chosen)] == [data for _, data in near.each(chosen)]
    assert between.fates[fault] > 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_build_through_faults_has_the_bytes_of_the_local_one_or_resumes_to_them(
    local: Local,
    uploaded: str,
    s3: Any,
    proxy: Any,
    kind: str,
    make: Callable[..., Path],
    hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
    chance: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many faults that some builds end in a sentence; never is one of them a photograph's fault."""
    monkeypatch.setattr(client, "RETRIES", 1)
    kinds = ("drop", "lose", "cut", "behead", "busy")
    said: list[str] = []
    for _ in range(60):
        between = proxy(seed=chance.randrange(2**32), rate=0.3, kinds=kinds)
        try:
            out = make(s3.uri(f"{uploaded}/{kind}", between.port), tmp_path / "out", **SHAPE)
            break
        except MaskgenError as error:
            said.append(str(error))
    assert hashes(out) == local(kind)
    assert all(re.fullmatch(r"the store of .* does not answer .*: it resumes from here\.", one) for one in said), said


def test_a_photograph_is_one_request(packed: Path, uploaded: str, s3: Any, proxy: Any) -> None:
    lines: list[str] = []
    between = proxy(lambda request: lines.append(request.split(b" HTTP")[0].decode()) or "pass")
    uri = s3.uri(f"{uploaded}/folders", between.port)
    rows = [entry._asdict() for entry in photographs(uri)]
    lines.clear()
    with Reader(uri) as reader:
        assert len([data for _, data in reader.each(rows) if isinstance(data, bytes)]) == 30
    assert len(lines) == len(set(lines)) == 30


def test_a_container_that_is_replaced_while_it_is_read_is_one_sentence(
    packed: Path, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(packed / "tar", tmp_path / "tar")
    uri = upload(s3, tmp_path / "tar", s3.bucket())
    monkeypatch.setattr(place, "_AHEAD", {True: 1 << 16, False: 1 << 12})
    found = [entry._asdict() for entry in photographs(uri) if entry.container == "x-0.tar"]
    with Reader(uri) as reader:
        assert len(reader.read(found[0])) == found[0]["bytes"]
        data = (tmp_path / "tar/x-0.tar").read_bytes()
        s3.put(f"{plain(uri).rpartition('/')[2]}/x-0.tar", data[::-1])
        with pytest.raises(MaskgenError, match="was replaced while it was read; run the same command again"):
            reader.read(found[-1])


@pytest.mark.parametrize("top", ["", "train/"])
def test_listings_and_files_are_fetched_side_by_side(
    tmp_path: Path, s3: Any, proxy: Any, write_tree: Callable[..., Path], top: str
) -> None:
    """Requests for the two people wait for each other: alone none of them would be answered."""
    people = {f"{top}{person}/{n}.jpg": f"{person}{n}".encode() for person in ("ann", "bob") for n in (1, 2)}
    write_tree(tmp_path, people)
    uri = upload(s3, tmp_path, s3.bucket())
    between = Meeting(s3.port, threading.Barrier(2))
    try:
        far = uri.replace(f":{s3.port}", f":{between.port}")
        found = list(photographs(far))
        assert found == list(photographs(tmp_path))
        with Reader(far) as reader:
            read = [(row["source"], data) for row, data in reader.each(entry._asdict() for entry in found)]
    finally:
        between.close()
    assert read == [(f"{top}{person}/{n}.jpg", f"{person}{n}".encode()) for person in ("ann", "bob") for n in (1, 2)]


class Meeting(FaultProxy):
    """A proxy that lets requests about people pass in pairs only."""

    def __init__(self, upstream: int, barrier: threading.Barrier) -> None:
        super().__init__(upstream, lambda _: "pass")
        self.barrier = barrier

    def before(self, request: bytes) -> None:
        if b"ann" in request.split(b"\r\n")[0] or b"bob" in request.split(b"\r\n")[0]:
            self.barrier.wait(60)


@pytest.mark.parametrize(
    "kind", ["folders", "tar", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("parquet", "recordio"))]
)
def test_an_outage_in_mid_build_ends_in_the_same_bytes(
    local: Local,
    uploaded: str,
    s3: Any,
    proxy: Any,
    kind: str,
    make: Callable[..., Path],
    hashes: Callable[[Path], dict[str, str]],
    rejects: Callable[[Path], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "RETRIES", 1)
    left = [10**6]
    asked = [0]

    def choose(_: bytes) -> str:
        asked[0] += 1
        left[0] -= 1
        return "pass" if left[0] >= 0 else "busy"

    uri = s3.uri(f"{uploaded}/{kind}", proxy(choose).port)
    list(photographs(uri))
    planning, asked[0] = asked[0], 0
    for more in (12, 3) if kind == "folders" else (3, 2):
        left[0] = planning + more
        with pytest.raises(MaskgenError, match=r"^the store of s3://.* does not answer \(503"):
            make(uri, tmp_path / "out", **SHAPE)
    assert list((tmp_path / "out").glob("*/*.parquet")), "what was made before the outage stays"
    left[0] = 10**6
    out = make(uri, tmp_path / "out", **SHAPE)
    assert hashes(out) == local(kind)
    assert len(rejects(out)) == 3
