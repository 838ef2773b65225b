"""Sources on a real S3 server and on file systems that fail: the local listing and bytes, or one sentence."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from maskgen.errors import MaskgenError, UsageError
from maskgen.sources import place, remote
from maskgen.sources.listing import photographs
from maskgen.sources.place import Container, Place
from maskgen.sources.reader import Reader
from maskgen.storage.uri import plain, redacted


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "PAUSE", 0.001)


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


def upload(s3: Any, folder: Path, bucket: str) -> str:
    """Copies a local folder into a new bucket; returns the bucket's URI."""
    filesystem, _ = pa.fs.FileSystem.from_uri(f"{s3.uri(bucket)}&allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    pa.fs.copy_files(str(folder), bucket, destination_filesystem=filesystem, use_threads=False)
    uri: str = s3.uri(bucket)
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


def elsewhere(folder: Path) -> Place:
    """A local folder that is taken for a remote one."""
    return Place(pa.fs.PyFileSystem(Flaky(0)), str(folder), "far://x")


@pytest.mark.parametrize(
    "beside",
    ["meta/deep/notes.txt", "val/deep/er/1.jpg", ".val/n3/1.jpg", "train/n1/.x/1.jpg", "train/._n/1.jpg", ".x.jpg"],
)
@pytest.mark.parametrize("split", [True, False])
def test_a_remote_tree_has_the_layout_of_the_local_one(
    tmp_path: Path, write_tree: Callable[..., Path], beside: str, split: bool
) -> None:
    names = ("train/n1/1.jpg", "test/n2/1.jpg") if split else ("train/1.jpg", "test/1.jpg")
    write_tree(tmp_path, dict.fromkeys((*names, beside), b""))

    def told(listing: Callable[[], Any]) -> Any:
        try:
            return list(listing())
        except UsageError as error:
            return str(error).replace(str(tmp_path), "far://x")

    found = told(lambda: remote.photographs(elsewhere(tmp_path)))
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


@pytest.fixture(scope="module")
def uploaded(packed: Path, s3: Any) -> str:
    upload(s3, packed, "packed")
    return "packed"


@pytest.mark.parametrize("kind", ["folders", "tar", "parquet", "recordio"])
def test_a_remote_source_gives_the_data_set_of_the_local_one(
    packed: Path,
    uploaded: str,
    s3: Any,
    kind: str,
    make: Callable[..., Path],
    hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    local, there = make(packed / kind, tmp_path / "local"), make(s3.uri(f"{uploaded}/{kind}"), tmp_path / "remote")
    assert hashes(there) == hashes(local)
    assert pq.read_table(there / "plan.parquet").num_rows == 30
    assert json.loads((there / "run.json").read_bytes())["command"]["src"] == redacted(s3.uri(f"{uploaded}/{kind}"))
    assert not any(b"test-secret" in path.read_bytes() for path in there.rglob("*.json"))
    if kind == "tar":
        pattern = s3.uri(f"{uploaded}/tar/x-{{0..1}}.tar")
        assert hashes(make(pattern, tmp_path / "workers", workers=2, engine="joblib")) == hashes(local)


def test_a_remote_file_that_changed_or_went_stops_the_build(tmp_path: Path, s3: Any) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann/1.jpg").write_bytes(b"four")
    uri = upload(s3, tmp_path, "changing")
    [found] = [found._asdict() for found in photographs(uri)]
    with Reader(uri) as reader:
        assert reader.read(found) == b"four"
        with pytest.raises(UsageError, match=r"changing/ann/1\.jpg has 4 bytes but had 5 .*--overwrite"):
            reader.read({**found, "bytes": 5})
        filesystem, _ = pa.fs.FileSystem.from_uri(uri)
        filesystem.delete_file("changing/ann/1.jpg")
        with pytest.raises(UsageError, match=r"s3://changing/ann/1\.jpg was planned and is there no more"):
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
    monkeypatch.setattr(place, "TRIES", 1)
    uri = "s3://mykey:mysecret@bucket/folder?scheme=http&endpoint_override=127.0.0.1:9&region=us-east-1"
    with pytest.raises(MaskgenError, match=r"cannot read s3://bucket/folder .*run the same command again") as caught:
        make(uri, tmp_path / "out")
    assert "mysecret" not in str(caught.value)


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


class Flaky(pa.fs.FSSpecHandler):  # type: ignore[misc]
    """A file system over a local folder where the first `failures` of each call fail, as a network does."""

    def __init__(self, failures: int) -> None:
        self.local, self.failures, self.calls = pa.fs.LocalFileSystem(), failures, dict[tuple[str, str], int]()

    def _may_fail(self, call: str, path: str) -> None:
        count = self.calls[call, path] = self.calls.get((call, path), 0) + 1
        if count <= self.failures:
            raise OSError(f"AWS Error NETWORK_CONNECTION during {call}")

    def get_type_name(self) -> str:
        return "flaky"

    def get_file_info(self, paths: list[str]) -> Any:
        self._may_fail("get_file_info", paths[0])
        return self.local.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        self._may_fail("list", selector.base_dir)
        return self.local.get_file_info(selector)

    def open_input_file(self, path: str) -> Any:
        self._may_fail("open", path)
        return pa.PythonFile(Cut(self, path), "r")


class Cut:
    """A file whose first reads end early or fail."""

    def __init__(self, above: Flaky, path: str) -> None:
        self.above, self.path, self.file, self.closed = above, path, open(path, "rb"), False  # noqa: SIM115

    def read(self, size: int = -1) -> bytes:
        count = self.above.calls["read", self.path] = self.above.calls.get(("read", self.path), 0) + 1
        if count <= self.above.failures:
            if (count + len(self.path)) % 2:
                return self.file.read(size)[:-1]
            raise OSError("connection reset")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
        self.closed = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False


def test_errors_that_pass_are_tried_again_and_change_nothing(
    packed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for kind in ("folders", "tar", "parquet", "recordio"):
        flaky = Flaky(1)
        there = Place(pa.fs.PyFileSystem(flaky), str(packed / kind), "flaky://x")
        for module in ("detect", "reader"):
            monkeypatch.setattr(f"maskgen.sources.{module}.locate", lambda src, there=there: (there, None))
        found = list(photographs("flaky://x"))
        monkeypatch.undo()
        assert found == list(photographs(packed / kind))
        assert all(count > 1 for count in flaky.calls.values())
        monkeypatch.setattr(place, "PAUSE", 0.001)
        monkeypatch.setattr("maskgen.sources.reader.locate", lambda src, there=there: (there, None))
        with Reader("flaky://x") as reader:
            mine = [reader.read(entry._asdict()) for entry in found]
        monkeypatch.undo()
        with Reader(str(packed / kind)) as reader:
            assert mine == [reader.read(entry._asdict()) for entry in found]
        monkeypatch.setattr(place, "PAUSE", 0.001)


class Together(Flaky):
    """Listings of identity folders, and openings, wait for each other: alone none of them comes back."""

    def __init__(self) -> None:
        super().__init__(0)
        self.barrier = threading.Barrier(2)

    def _may_fail(self, call: str, path: str) -> None:
        if call == "open" or path.rpartition("/")[2] in ("ann", "bob"):
            self.barrier.wait(60)


@pytest.mark.parametrize("top", ["", "train/"])
def test_listings_and_files_are_fetched_side_by_side(
    tmp_path: Path, write_tree: Callable[..., Path], top: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(
        tmp_path, {f"{top}{person}/{n}.jpg": f"{person}{n}".encode() for person in ("ann", "bob") for n in (1, 2)}
    )
    there = Place(pa.fs.PyFileSystem(Together()), str(tmp_path), "together://x")
    found = list(remote.photographs(there))
    assert found == list(photographs(tmp_path))
    monkeypatch.setattr("maskgen.sources.reader.locate", lambda src: (there, None))
    with Reader("together://x") as reader:
        read = [(row["source"], data) for row, data in reader.each(entry._asdict() for entry in found)]
    assert read == [(f"{top}{person}/{n}.jpg", f"{person}{n}".encode()) for person in ("ann", "bob") for n in (1, 2)]


def test_errors_that_stay_end_the_build_and_are_never_rejects(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Place(pa.fs.PyFileSystem(Flaky(place.TRIES)), str(packed / "folders"), "flaky://x")
    with pytest.raises(MaskgenError, match=r"cannot read flaky://x/ann/0000_01\.jpg after 4 tries \(AWS Error NETWORK"):
        there.read("ann/0000_01.jpg", 10)
    with pytest.raises(MaskgenError, match=r"cannot read flaky://x after 4 tries .*run the same command again"):
        list(remote.photographs(there))
    broken = Flaky(0)
    there_too = Place(pa.fs.PyFileSystem(broken), str(packed), "flaky://x")
    for kind, name in (("tar", "tar/x-0.tar"), ("parquet", "parquet/x.parquet"), ("recordio", "recordio/train.rec")):
        monkeypatch.setattr("maskgen.sources.reader.locate", lambda src: (there_too, None))
        [found, *_] = photographs(packed / name)
        row = {**found._asdict(), "container": name}
        broken.failures = 0
        with Reader("flaky://x") as reader:
            assert len(reader.read(row)) == found.bytes
        broken.calls.clear()
        broken.failures = 1000
        monkeypatch.setattr(broken, "_may_fail", lambda call, path: None)  # opening succeeds, reading does not
        with (
            Reader("flaky://x") as reader,
            pytest.raises(MaskgenError, match=r"cannot read .* after 4 tries \(") as caught,
        ):
            reader.read(row)
        assert kind in str(caught.value)
    with pytest.raises(MaskgenError, match=r"cannot read flaky://x/x\.tar after 4 tries"):
        Container(Place(there.filesystem, str(packed / "tar"), "flaky://x"), "x.tar")


class Outage(Flaky):
    """A file system that answers nothing any more once `left` files have been opened."""

    left = 0

    def __init__(self) -> None:
        super().__init__(0)

    def _may_fail(self, call: str, path: str) -> None:
        if call == "open":
            self.left -= 1
        if self.left < 0:
            raise OSError("AWS Error SLOW_DOWN")


@pytest.mark.parametrize("kind", ["folders", "tar", "parquet", "recordio"])
def test_an_outage_in_mid_build_ends_in_the_same_bytes(
    packed: Path,
    kind: str,
    make: Callable[..., Path],
    hashes: Callable[[Path], dict[str, str]],
    rejects: Callable[[Path], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Outage()
    there = Place(pa.fs.PyFileSystem(store), str(packed / kind), "outage://x")
    for module in ("detect", "reader"):
        monkeypatch.setattr(f"maskgen.sources.{module}.locate", lambda src: (there, None))
    planning = {"folders": 0, "tar": 2, "parquet": 1, "recordio": 2}[kind]
    made = []
    for more in (12, 3) if kind == "folders" else (2, 3):
        store.left = planning + more
        with pytest.raises(MaskgenError, match=r"outage://x.* after 4 tries .*SLOW_DOWN.*run the same command again"):
            make("outage://x", tmp_path / "out")
        made.append(len(list((tmp_path / "out").glob("__markers/*.json"))))
    store.left = 10**6
    out = make("outage://x", tmp_path / "out")
    assert made[0] > 0
    monkeypatch.undo()
    assert hashes(out) == hashes(make(packed / kind, tmp_path / "local"))
    assert len(rejects(out)) == 3
