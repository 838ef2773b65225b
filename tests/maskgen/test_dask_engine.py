"""Dask's workers make the serial bytes, whatever dies: with real schedulers and workers on loopback."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import maskgen
from maskgen.dataset import identity
from maskgen.dataset.schema import SPLITS
from maskgen.engines import dask_cluster, dask_engine, engine
from maskgen.errors import MaskgenError, UsageError
from maskgen.pipeline.shard import ShardTask
from maskgen.storage.files import leftovers
from tests.support.preloaded import Program
from tests.support.processes import (
    SHAPE,
    finish,
    needs_proc,
    needs_signals,
    reaped,
    shards,
    start,
    wait,
    workers_of,
)

distributed = pytest.importorskip("distributed")
Hashes = Callable[[Path], dict[str, str]]


@contextlib.contextmanager
def dask(part: str, *arguments: str) -> Iterator[Program]:
    """`dask scheduler` or `dask worker`, in a process group of its own."""
    process = Program(DASK.format(part=part, arguments=["--no-dashboard", *arguments]), group=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.end()


DASK = """
import os
from distributed.cli.dask_{part} import main
quiet = os.open(os.devnull, os.O_WRONLY)
os.dup2(quiet, 1)
os.dup2(quiet, 2)
main({arguments!r})
"""


@pytest.fixture
def address() -> str:
    """An address of this machine where nobody listens yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def scheduler(address: str) -> contextlib.AbstractContextManager[Program]:
    host, port = address.removeprefix("tcp://").split(":")
    return dask("scheduler", "--host", host, "--port", port)


def worker(address: str, *options: str) -> contextlib.AbstractContextManager[Program]:
    return dask("worker", address, "--nthreads", "1", "--memory-limit", "0", "--local-directory", "/tmp", *options)


def here(workers: int) -> Any:
    """A scheduler and workers of two threads each in this process."""
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=2, processes=False, host="tcp://127.0.0.1", dashboard_address=None
    )


@needs_proc
def test_a_killed_worker_of_this_machine_changes_no_byte(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes
) -> None:
    out = tmp_path / "smfd"
    process = start(crowd, out, "--engine=dask", "--workers=2")
    with reaped(process):
        assert wait(lambda: shards(out) > 2 and bool(leftovers(out, SPLITS)), process)
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        finish(process)
    assert hashes(out) == expected
    assert not list(out.glob("*/.maskgen-*")), "what the killed worker left behind"


@needs_signals
@pytest.mark.slow
def test_a_worker_comes_and_another_is_killed(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes, address: str
) -> None:
    out = tmp_path / "smfd"
    with scheduler(address), worker(address, "--no-nanny", "--name", "first") as first:
        process = start(crowd, out, "--engine=dask", f"--address={address}")
        with reaped(process):
            assert wait(lambda: shards(out) > 2 and bool(leftovers(out, SPLITS)), process)
            first.send_signal(signal.SIGSTOP)  # or it would be done before the second is there
            with worker(address, "--name", "second"), distributed.Client(address, timeout=60) as watch:
                watch.wait_for_workers(2, timeout=120)
                first.kill()  # what is left, the second must make
                finish(process)
    assert hashes(out) == expected


@needs_signals
@pytest.mark.parametrize("stop", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_lost_scheduler_is_one_sentence_and_the_same_command_goes_on(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes, address: str, stop: signal.Signals
) -> None:
    out = tmp_path / "smfd"
    with scheduler(address) as first, worker(address) as maker:
        process = start(crowd, out, "--engine=dask", f"--address={address}")
        with reaped(process):
            assert wait(lambda: shards(out) > 2, process)
            os.killpg(maker.pid, signal.SIGSTOP)  # or it would be done first
            first.send_signal(stop)
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 1, errors
            assert errors.strip() == (
                f"maskgen: lost the Dask scheduler at {address}; start it and its workers again and run the same "
                "command: it resumes from here."
            )
    assert 2 < shards(out) < sum(name.startswith("__markers/") for name in expected)
    if stop == signal.SIGKILL:  # resumed without Dask: starting it again takes long
        maskgen.build(src=crowd, out=out, engine="serial", **SHAPE)
    else:
        with scheduler(address), worker(address):
            finish(start(crowd, out, "--engine=dask", f"--address={address}"))
    assert hashes(out) == expected


@needs_proc
def test_a_cluster_of_this_machine_listens_on_loopback_only(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    with dask_engine._cluster(2) as address, distributed.Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=120)
        [cluster] = [child for child in psutil.Process().children() if dask_cluster.__name__ in child.cmdline()]
        processes = [cluster, *cluster.children(recursive=True)]
        found = [
            socket.laddr
            for process in processes
            for socket in process.net_connections("inet")
            if socket.status == psutil.CONN_LISTEN
        ]
        assert len(found) >= 3, "the scheduler and two workers"
        assert {place.ip for place in found} == {"127.0.0.1"}
        info = client.scheduler_info()
        for services in (info["services"], *(worker["services"] for worker in info["workers"].values())):
            for page in ("", "health", "status", "info/main/workers.html", "json/counts.json", "metrics"):
                connection = http.client.HTTPConnection("127.0.0.1", services["dashboard"], timeout=60)
                connection.request("GET", f"/{page}")
                assert connection.getresponse().status == 404, page
                connection.close()


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """The environment in which Dask's own configuration names a certificate, its key and who vouches for it."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dask")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    pem, secret = tmp_path / "dask.pem", tmp_path / "dask.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    files = {
        f"{role}__{what}": path
        for role in ("scheduler", "worker", "client")
        for what, path in (("cert", pem), ("key", secret))
    }
    tls = {f"DASK_DISTRIBUTED__COMM__TLS__{name.upper()}": str(path) for name, path in files.items()}
    tls["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"] = str(pem)
    tls["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "True"
    return tls


def test_tls_of_dasks_own_configuration(
    tree: Path,
    built: Path,
    tmp_path: Path,
    hashes: Hashes,
    address: str,
    certificates: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secure = address.replace("tcp", "tls")
    host, port = secure.removeprefix("tls://").split(":")
    shape = {"size": 96, "shard_size": 5, "test_identities": 0.4, "format": "both"}  # of the fixture `built`
    for name, value in certificates.items():
        monkeypatch.setenv(name, value)
    with dask("scheduler", "--protocol", "tls", "--host", host, "--port", port), worker(secure, "--no-nanny"):
        finish(start(tree, tmp_path / "smfd", "--engine=dask", f"--address={secure}", shape=shape))
        assert hashes(tmp_path / "smfd") == hashes(built)
        for name in certificates:
            monkeypatch.delenv(name)
        with pytest.raises(UsageError) as error:
            maskgen.build(src=tree, out=tmp_path / "other", engine="dask", address=secure, **shape)
    assert str(error.value) == (
        f"--address {secure} needs certificates; set distributed.comm.tls (ca-file, client.cert, client.key) "
        "in Dask's configuration."
    )


def test_what_crosses_the_scheduler_is_small(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a shard holds, its task is where the plan lies and a number."""
    sizes: list[int] = []
    send = distributed.Client._send_to_scheduler

    def measured(client: Any, message: dict[str, Any]) -> None:
        if message["op"] == "update-graph":
            sizes.append(sum(len(frame) for frame in distributed.protocol.dumps(message)))
        send(client, message)

    monkeypatch.setattr(distributed.Client, "_send_to_scheduler", measured)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=False, host="tcp://127.0.0.1", dashboard_address=None
    ) as local:
        build = maskgen.BuildSettings(
            src=crowd, out=tmp_path / "smfd", engine="dask", address=local.scheduler_address, **SHAPE
        )
        maskgen.build(build)
    assert hashes(build.out) == expected
    assert len(sizes) == shards(build.out)
    print(f"a task has {min(sizes)} to {max(sizes)} bytes on the wire")
    assert max(sizes) < 5_000


def test_no_scheduler_no_worker_and_no_such_address(
    crowd: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(address: str) -> None:
        maskgen.build(src=crowd, out=tmp_path / "smfd", engine="dask", address=address, **SHAPE)

    monkeypatch.setattr(dask_engine, "CONNECT", 0.5)
    with pytest.raises(MaskgenError, match=f"^cannot reach a Dask scheduler at {address} .*'dask scheduler'"):
        build(address)
    with pytest.raises(UsageError, match=r"^--address carrier://pigeon is not a valid address.*tcp://10\.0\.0\.1:8786"):
        build("carrier://pigeon")
    monkeypatch.setattr(dask_engine, "CONNECT", 20)
    monkeypatch.setattr(dask_engine, "PATIENCE", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, host="tcp://127.0.0.1", dashboard_address=None) as local,
        pytest.raises(
            MaskgenError, match=r"has had no worker for 0 s; start some \('dask worker tcp://.* --nthreads 1'\)"
        ),
    ):
        build(local.scheduler_address)
    assert shards(tmp_path / "smfd") == 0


def test_a_worker_of_other_versions_makes_nothing(tmp_path: Path) -> None:
    task = ShardTask(maskgen.BuildSettings(src=tmp_path, out=tmp_path), "f", 0, "train", 0, 1)
    with pytest.raises(MaskgenError, match=r"a Dask worker on .* has pillow \d[\d.]+, other than the build; install"):
        dask_engine._in_worker(task, identity.versions() | {"pillow": "1.0"}, "")


def test_dask_is_an_extra(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        UsageError, match=r"needs Dask, which is not installed; run pip install '\.\[dask\]' in the checkout"
    ):
        maskgen.build(src=tree, out=tmp_path / "smfd", engine="dask")
    assert not (tmp_path / "smfd").exists()


def test_settings_of_another_engine_are_refused(tmp_path: Path) -> None:
    settings = {"src": tmp_path, "out": tmp_path / "smfd", "address": "tcp://127.0.0.1:1"}
    with pytest.raises(UsageError, match="add --engine dask"):
        engine.check(maskgen.BuildSettings(**settings))
    with pytest.raises(UsageError, match="give one of the two"):
        engine.check(maskgen.BuildSettings(**settings, engine="dask", workers=2))
