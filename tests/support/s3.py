"""An S3 server on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.data_sets import UNHASHED


class S3:
    """The server as its users see it: a URI for Arrow, boto3's client to look behind our back."""

    def __init__(self, port: int, client: Any) -> None:
        self.port, self.client, self.buckets = port, client, 0

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        self.buckets += 1
        self.client.create_bucket(Bucket=f"bucket-{self.buckets}")
        return f"bucket-{self.buckets}"

    def uri(self, place: str, port: int | None = None) -> str:
        """A bucket, or a place in one, as a URI with keys and endpoint; `port` is a proxy's."""
        return (
            f"s3://test-key:test-secret@{place}?scheme=http&region=us-east-1"
            f"&endpoint_override=127.0.0.1:{port or self.port}"
        )

    def objects(self, place: str) -> dict[str, bytes]:
        """Every object at a place by its name there."""
        bucket, _, prefix = place.partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""
        )
        names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {
            name.removeprefix(f"{prefix}/"): self.client.get_object(Bucket=bucket, Key=name)["Body"].read()
            for name in names
        }

    def hashes(self, place: str) -> dict[str, str]:
        """What the fixture `hashes` gives for a folder."""
        found = self.objects(place).items()
        return {name: hashlib.sha256(data).hexdigest() for name, data in found if name not in UNHASHED}


@contextlib.contextmanager
def running_server() -> Iterator[S3]:
    """A server with no bucket, for as long as the block runs; the test is skipped if moto is not installed."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"aws_access_key_id": "test-key", "aws_secret_access_key": "test-secret", "region_name": "us-east-1"}
    yield S3(port, boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys))
    running.stop()
