"""The two storages behave alike; what a store adds: whole objects, patience, one sentence, no secret in it."""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgen.errors import MaskgenError, UsageError
from maskgen.storage import client
from maskgen.storage.base import Storage
from maskgen.storage.local import LocalStorage
from maskgen.storage.object_store import ObjectStorage
from maskgen.storage.opening import located, open_storage
from maskgen.storage.uri import parent, redacted

Proxies = Callable[..., Any]


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty place for a data set, in a folder and in a store."""
    if request.param == "folder":
        return LocalStorage(tmp_path)
    s3 = request.getfixturevalue("s3")
    return ObjectStorage(s3.uri(f"{s3.bucket()}/smfd"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIA:sec%2Fret@bucket/a", "s3://***@bucket/a"),
        ("s3://AKIA:sec/ret@bucket/a", "s3://***@bucket/a"),
        ("s3://AKIA@bucket/a?region=x", "s3://***@bucket/a?region=x"),
        ("s3://bucket/a@b?region=x", "s3://bucket/a@b?region=x"),
        ("s3://b/a?secret_key=x/y&region=z&session_token=q", "s3://b/a?secret_key=***&region=z&session_token=***"),
        ("abfs://box@account/a?account_key=s", "abfs://***@account/a?account_key=***"),
        ("/home/me/a@b?key=c", "/home/me/a@b?key=c"),
        ("smfd", "smfd"),
    ],
)
def test_credentials_are_shown_nowhere(text: str, shown: str) -> None:
    assert redacted(text) == shown
    if text.startswith("s3"):
        assert "***" not in str(ObjectStorage(text)), "a name for sentences has no room for what is not shown"
        assert "ret" not in repr(ObjectStorage(text)) + str(ObjectStorage(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing://here", "no store for nothing://"),
        ("s3://AKIA:sec/ret@bucket/a", "names no bucket"),
        ("s3://AKIA@bucket/a", "half of a key pair"),
        ("s3://[bucket/a", "not a URI"),
        ("s3://bucket/a?regoin=x", "regoin"),
        ("file://else/where", "hostname"),
    ],
)
def test_a_bad_uri_is_one_sentence_without_its_secret(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot open .*{words}.*give a folder or a URI such as s3://") as caught:
        open_storage(text).exists("dataset.json")
    assert "\n" not in str(caught.value)
    assert "sec" not in str(caught.value)


def test_texts_become_storages_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_storage("a/b") == LocalStorage(Path("a/b"))
    assert open_storage((tmp_path / "ä b").as_uri()) == LocalStorage(tmp_path / "ä b")
    uri = "s3://k:s%2Fs@bucket/a%20b/?region=eu-west-1&endpoint_override=localhost:1&scheme=http"
    found = client.parse(uri)
    assert (found.bucket, found.prefix, found.user, found.secret) == ("bucket", "a b", "k", "s/s")
    config = client.client_of(uri).config
    assert (config["region"], config["endpoint"], config["secret_access_key"]) == (
        "eu-west-1",
        "http://localhost:1",
        "s/s",
    )
    assert client.parse("gs://anonymous@bucket/a").prefix == "a"
    assert client.client_of("gs://anonymous@bucket/a").config["skip_signature"] == "true"
    assert parent("s3://k:s@bucket/a/x.tar?region=b/c") == ("s3://k:s@bucket/a?region=b/c", "x.tar")
    assert [parent(place) for place in ("a/x.tar", "x.tar", "/x.tar")] == [
        ("a", "x.tar"),
        (".", "x.tar"),
        ("/", "x.tar"),
    ]
    monkeypatch.chdir(tmp_path)
    assert located("smfd") == located(Path("smfd")) == tmp_path / "smfd"
    assert located((tmp_path / "smfd").as_uri()) == tmp_path / "smfd"
    assert located("s3://bucket/a") == "s3://bucket/a"
    with pytest.raises(UsageError, match="s3:/bucket/a lost a slash, as a Path does to a URI"):
        open_storage(Path("s3://bucket/a"))


def test_files_are_written_whole_read_listed_and_removed(place: Storage) -> None:
    assert pickle.loads(pickle.dumps(place)) == place
    assert (place.entries(), place.entries("train"), place.exists("a")) == ({}, {}, False)
    with pytest.raises(FileNotFoundError):
        place.read("a")
    with pytest.raises(FileNotFoundError):
        place.size("a")
    with pytest.raises(FileNotFoundError):
        place.sha256("a")
    data = np.random.default_rng(0).bytes(23 << 20)  # in a store: three parts
    place.write("a", b"first")
    place.write("a", b"12345")
    with place.temporary("train/00000.tar") as written:
        written.write_bytes(data)
        assert place.leftovers(["train", "val"]) == [written]
        assert place.entries("train").keys() <= {written.name}, "nothing has its name before it is published"
        facts = place.publish(written, "train/00000.tar")
    assert facts == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert place.leftovers(["train", "val"]) == []
    assert (place.entries(), place.entries("train")) == ({"a": 5, "train": None}, {"00000.tar": len(data)})
    assert (place.read("a"), place.size("a"), place.exists("a")) == (b"12345", 5, True)
    assert place.exists("train") == isinstance(place, LocalStorage), "a store has objects only, no folders"
    assert list(place.read_many(["a", "b", "train/00000.tar"])) == [b"12345", None, data]
    assert place.sha256("train/00000.tar") == facts["sha256"]
    with place.open("train/00000.tar") as file:
        file.seek(20 << 20)
        assert file.read(1000) == data[20 << 20 : (20 << 20) + 1000]
    with place.stream("train/00000.tar") as file:
        assert file.read(5) == data[:5]
        file.seek(1000)
        assert (file.read(1000), file.tell()) == (data[1000:2000], 2000)
    place.remove("train/00000.tar")
    place.remove("a")
    assert not place.exists("a")
    assert place.entries("train") == {}


def test_what_was_not_published_is_gone_and_never_had_its_name(place: Storage) -> None:
    def fail() -> None:
        with place.temporary("val/00000.tar") as written:
            written.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert place.leftovers(["train", "val"]) == []
    assert place.entries("val") == {}


def test_an_empty_object_is_empty_and_a_link_to_nothing_is_there(s3: Any, tmp_path: Path) -> None:
    store = ObjectStorage(s3.uri(f"{s3.bucket()}/smfd"))
    store.write("train/00000.tar", b"")
    assert (store.size("train/00000.tar"), store.read("train/00000.tar")) == (0, b"")
    assert store.entries("train") == {"00000.tar": 0}
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert LocalStorage(tmp_path).entries() == {"link": -1}


def test_leftovers_of_a_killed_build_are_found_and_cleaned(s3: Any) -> None:
    store = ObjectStorage(s3.uri(f"{s3.bucket()}/smfd"))
    store.prepare()
    assert store.workplace.stat().st_mode & 0o077 == 0, "others cannot read photographs in it"
    (store.workplace / "train").mkdir()
    left = store.workplace / "train/.maskgen-0123456789abcdef.00000.tar.tmp"
    left.touch()
    assert store.leftovers(["train"]) == [left]
    store.clean(["train"])
    assert not store.workplace.exists()


def test_a_workplace_of_somebody_else_is_refused(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = ObjectStorage(s3.uri(f"{s3.bucket()}/smfd"))
    (tmp_path / "elsewhere").mkdir()
    store.workplace.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MaskgenError, match="is no folder of yours; remove it or set TMPDIR"):
        store.prepare()
    store.workplace.unlink()
    store.workplace.mkdir()
    if os.geteuid() == 0:
        os.chown(store.workplace, 65534, -1)
        with pytest.raises(MaskgenError, match="is no folder of yours; remove it or set TMPDIR"):
            store.prepare()


def test_a_small_file_is_one_put_and_a_large_one_is_whole_or_absent(
    s3: Any, proxy: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RETRIES", 2)
    place, lines = f"{s3.bucket()}/smfd", []
    broken = [False]

    def choose(request: bytes) -> str:
        lines.append(request.split(b" HTTP", 1)[0].decode())
        return "drop" if broken[0] and "partNumber=2" in lines[-1] else "pass"

    store = ObjectStorage(s3.uri(place, proxy(choose).port))
    store.write("train/00000.json", b"x" * 4_000_000)
    assert [line for line in lines if not line.startswith(("HEAD", "GET"))] == [f"PUT /{place}/train/00000.json"]
    broken[0] = True
    with store.temporary("train/00000.tar") as written:
        written.write_bytes(bytes(40 << 20))
        with pytest.raises(MaskgenError, match=r"does not answer .*run the same command again: it resumes from here"):
            store.publish(written, "train/00000.tar")
    assert s3.objects(place).keys() == {"train/00000.json"}


FAULTS = ("drop", "lose", "cut", "behead", "late", "busy", "hang")


def test_every_kind_of_fault_is_outlived(s3: Any, proxy: Proxies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 1.0)
    data = np.random.default_rng(1).bytes(11 << 20)
    for kind in FAULTS:
        place = f"{s3.bucket()}/smfd"
        fates = iter([kind, "pass", kind, "pass", "pass", kind] + ["pass"] * 1000)
        between = proxy(lambda _, fates=fates: next(fates))
        store = ObjectStorage(s3.uri(place, between.port))
        store.write("a.json", b"{}")
        with store.temporary("train/00000.tar") as written:
            written.write_bytes(data)
            assert store.publish(written, "train/00000.tar")["bytes"] == len(data)
        assert store.read("a.json") == b"{}"
        assert between.fates[kind] == 3
        assert s3.objects(place) == {"a.json": b"{}", "train/00000.tar": data}


DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
BODY = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def test_refusals_are_one_sentence_each(s3: Any, proxy: Proxies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRIES", 2)
    nowhere = ObjectStorage(s3.uri("no-such-bucket/smfd"))
    with pytest.raises(UsageError, match=r"^there is no bucket of s3://no-such-bucket/smfd; create it first"):
        nowhere.write("a", b"a")
    refused = ObjectStorage(s3.uri("bucket/smfd", proxy(lambda _: DENIED % (len(BODY), BODY)).port))
    head = ObjectStorage(s3.uri("bucket/head", proxy(lambda _: DENIED % (0, b"")).port))
    gone = proxy(lambda _: "drop")
    gone.close()
    moved = b"HTTP/1.1 301 Moved Permanently\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    elsewhere = ObjectStorage(s3.uri("bucket/smfd", proxy(lambda _: moved).port))
    with pytest.raises(UsageError, match=r"^the bucket of s3://bucket/smfd lies in another region; add \?region=NAME"):
        elsewhere.read("a")
    silent = ObjectStorage(s3.uri("bucket/smfd", gone.port))
    for place, words in (
        (refused, r"^s3://bucket/smfd is refused \(.*\); give credentials that may use it"),
        (head, r"^s3://bucket/head is refused \(.*\); give credentials"),
        (silent, r"^the store of s3://bucket/smfd does not answer \(.*\); run the same command again: it resumes"),
    ):
        for ask in (
            lambda place=place: place.write("a", b"a"),
            lambda place=place: place.read("a"),
            lambda place=place: place.size("a"),
            lambda place=place: place.entries(),
            lambda place=place: place.remove("a"),
            lambda place=place: place.open("a"),
            lambda place=place: list(place.read_many(["a"])),
        ):
            with pytest.raises(MaskgenError, match=words) as caught:
                ask()
            assert "test-" not in str(caught.value)
            assert "\n" not in str(caught.value)
