"""An S3 server on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.data_sets import UNHASHED

REGION = "us-east-1"


class S3:
    """The server as its users see it, a URI, and what it holds: read and changed in its memory, without a request."""

    def __init__(self, port: int, held: Any) -> None:
        self.port, self._held, self.buckets = port, held, 0

    def bucket(self, name: str | None = None) -> str:
        """The name of a new, empty bucket, or the bucket of that name."""
        self.buckets += 1
        name = name or f"bucket-{self.buckets}"
        if name not in self._held.buckets:
            self._held.create_bucket(name, REGION)
        return name

    def put(self, place: str, data: bytes) -> None:
        """Writes an object, `bucket/name`."""
        bucket, _, name = place.partition("/")
        self._held.put_object(bucket, name, data)

    def delete(self, place: str) -> None:
        """Removes an object, `bucket/name`."""
        bucket, _, name = place.partition("/")
        self._held.delete_object(bucket, name)

    def uri(self, place: str, port: int | None = None) -> str:
        """A bucket, or a place in one, as a URI with keys and endpoint; `port` is a proxy's."""
        return (
            f"s3://test-key:test-secret@{place}?scheme=http&region={REGION}"
            f"&endpoint_override=127.0.0.1:{port or self.port}"
        )

    def objects(self, place: str) -> dict[str, bytes]:
        """Every object at a place by its name there."""
        bucket, _, prefix = place.partition("/")
        start = f"{prefix}/" if prefix else ""
        names = sorted(name for name in self._held.buckets[bucket].keys if name.startswith(start))
        return {name.removeprefix(start): self._held.get_object(bucket, name).value for name in names}

    def sent(self, place: str) -> dict[str, bytes]:
        """Every object at a place, by requests of boto3, which is another client than ours."""
        boto3 = pytest.importorskip("boto3")
        keys = {"aws_access_key_id": "test-key", "aws_secret_access_key": "test-secret", "region_name": REGION}
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", **keys)
        bucket, _, prefix = place.partition("/")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        names = [item["Key"] for page in pages for item in page["Contents"]]
        return {
            name.removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names
        }

    def hashes(self, place: str) -> dict[str, str]:
        """What the fixture `hashes` gives for a folder."""
        found = self.objects(place).items()
        return {name: hashlib.sha256(data).hexdigest() for name, data in found if name not in UNHASHED}


@contextlib.contextmanager
def running_server() -> Iterator[S3]:
    """A server with no bucket, for as long as the block runs; the test is skipped if moto is not installed.

    moto finds out for each request which of Amazon's services is asked, in a third of its time; here it is S3.
    """
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    from moto.core import DEFAULT_ACCOUNT_ID  # type: ignore[attr-defined]
    from moto.moto_server import threaded_moto_server, werkzeug_app
    from moto.s3 import models

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threaded_moto_server, "DomainDispatcherApplication", lambda application: application("s3"))
        patch.setattr(werkzeug_app, "DISABLE_GLOBAL_CORS", True)
        running.start()
    _, port = running.get_host_and_port()
    yield S3(port, models.s3_backends[DEFAULT_ACCOUNT_ID]["aws"])
    running.stop()
