"""Thousands of mutated files through every reader of untrusted input: an answer or one sentence, never a traceback."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.errors import Rejected
from maskgen.imaging.decode import decode
from maskgen.settings import read_toml
from maskgen.sources.boxes import read_boxes
from maskgen.sources.draws import read_draws
from mfr_train.cli.main import mfr as mfr_command
from tests.support.fuzz import Cases, one_sentence

Encode = Callable[..., bytes]

BOXES = b'NAME_ID,X,Y,W,H\n"n000002/0001_01",161,140,224,324\n"n000002/0002_01",-1.5,0,12,1e2\n'
DRAWS = (
    b"AJ_Cook/AJ_Cook_0001.jpg f 239.227545145 152.957880603 103.104907787\n"
    b"a/b c.jpg wide_high 0 255 12\nx/y.jpg A 2.5 3.5 8.3e-05\n"
)
DRAWS_CSV = b'path,mask,r,g,b\na/1.jpg,round_low,1,2,3\n"a/2, of 3.jpg",c,255,0,19.5\n'
SETTINGS = [
    (
        ("maskgen", "build"),
        b'size = 96 # pixels\nvariants = "wide_low,round_high"\nboxes = ["a.csv", "b.csv"]\nfollow-links = true\n'
        b'test-identities = 0.25\nlimit = 3\nseed = -7\nformat = "both"\npredictor = "x.dat"\nshard-size = 40\n',
    ),
    (
        ("mfr", "train"),
        b'recipe = "small"\nvariants = ["wide_low", "round_high"]\nmasked_share = 0.5\nlr = 1e-1\nbatch = 400\n'
        b'stage = "all"\ncompile = false\nweights = "w.pth"\ndim = 512\nbuffer = 256\nworkers = 2\nmargin = 0.2\n',
    ),
    (
        ("mfr", "eval"),
        b'scenario = "M-M" # masked\nmodel = "dlib"\nbootstrap = 1000\nbreakdown = true\nexact-pairs = 50_000\n'
        b'seed = 3\nsplit = "test"\nworkers = 1\ndevice = "cpu"\n',
    ),
]
LFW_PAIRS = b"2\t1\nAnn_B\t1\t4\nAnn_B\t2\tCy_D\t1\nCy_D\t1\t2\nCy_D\t3\tEd\t1\n"
PAIRS = (
    b'a,b,genuine,fold\nx/1.jpg,x/2.jpg,1,0\n"x/1, of 2.jpg",y/1.jpg,false,0\ny/1.jpg,y/2.jpg,true,1\nz,y/1.jpg,0,1\n'
)
PROTOCOL = b"subject,role,masked,path\n001,reference,0,a/1.jpg\n001,probe,1,a/2.jpg\n002,probe,0,b/1.jpg\n"


def test_boxes_files(tmp_path: Path, cases: Cases) -> None:
    path, good = tmp_path / "boxes.csv", 0
    for data in cases(BOXES, "boxes CSV"):
        path.write_bytes(data)
        try:
            names, boxes = read_boxes((path,))
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            assert len(names) == len(boxes)
            assert np.isfinite(boxes).all()
            assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert good, "some mutations do no harm"


@pytest.mark.parametrize("data", [DRAWS, DRAWS_CSV], ids=["text", "CSV"])
def test_draws_files(tmp_path: Path, cases: Cases, data: bytes) -> None:
    path, good = tmp_path / "draws", 0
    for mutation in cases(data, "draws", parts=2):
        path.write_bytes(mutation)
        try:
            draws = read_draws(path)
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            paths = draws.paths.to_pylist()
            assert len(set(paths)) == len(paths) == len(draws.masks) == len(draws.colors)
            assert set(draws.masks.to_pylist()) <= set(maskgen.VARIANTS)
            assert draws.colors.shape == (len(paths), 3)
    assert good, "some mutations do no harm"


def test_settings_files(tmp_path: Path, cases: Cases) -> None:
    path, good = tmp_path / "build.toml", 0
    for data in cases(SETTINGS[0][1], "--config TOML"):
        path.write_bytes(data)
        try:
            values = read_toml(path, maskgen.BuildSettings)
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            assert all(isinstance(value, list) == (name == "boxes") for name, value in values.items())
    assert good


@pytest.mark.parametrize(("command", "data"), SETTINGS, ids=[" ".join(command) for command, _ in SETTINGS])
def test_commands_with_mutated_settings_files(
    tmp_path: Path, cases: Cases, command: tuple[str, ...], data: bytes
) -> None:
    group, name = command
    path = tmp_path / "settings.toml"
    for mutation in cases(data, "command with --config TOML", parts=len(SETTINGS)):
        path.write_bytes(mutation)
        # Whatever the file says, there is nothing at --data or --src, and so nothing to do.
        nowhere = ["--src" if group == "maskgen" else "--data", str(tmp_path / "none")]
        call = [name, "--config", str(path), *nowhere, "--out", str(tmp_path / "none/out")]
        result = CliRunner().invoke({"maskgen": maskgen_command, "mfr": mfr_command}[group], call)
        assert (result.exit_code, type(result.exception)) == (2, SystemExit), (mutation, result.exception)
        assert "Traceback" not in result.output
        assert not (tmp_path / "none").exists()


def test_protocol_tables(tmp_path: Path, cases: Cases) -> None:
    protocol_table = pytest.importorskip("mfr_train.evaluation.protocol_table")
    path, good = tmp_path / "protocol.csv", 0
    for data in cases(PROTOCOL, "protocol CSV"):
        path.write_bytes(data)
        try:
            found = protocol_table.read_protocol(path)
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            assert all(rows.max() < len(found.paths) for rows in found.sides.values())
            assert found.subjects.max() < len(found.names)
    assert good


@pytest.mark.parametrize("data", [LFW_PAIRS, PAIRS], ids=["LFW", "CSV"])
def test_lists_of_pairs(tmp_path: Path, cases: Cases, data: bytes) -> None:
    reader = pytest.importorskip("mfr_train.evaluation.pair_list")
    path, good = tmp_path / "pairs", 0
    for mutation in cases(data, "list of pairs", parts=2):
        path.write_bytes(mutation)
        try:
            found = reader.read_pairs(path)
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            assert {pair.genuine for pair in found.pairs} == {False, True}
            assert all(pair.first != pair.second for pair in found.pairs)
            assert found.folds is None or len(found.folds) == len(found.pairs)
    assert good


@pytest.mark.parametrize("kind", ["Parquet", "npz"])
def test_files_of_embeddings(tmp_path: Path, cases: Cases, kind: str) -> None:
    reader = pytest.importorskip("mfr_train.evaluation.embeddings_file")
    path, good = tmp_path / "embeddings", 0
    vectors = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    columns = {"subject": [*"aabbccdd"], "masked": [0, 1] * 4, "variant": [*"xyxyxyxy"], "image": [*"ijklmnop"]}
    if kind == "Parquet":
        pq.write_table(pa.table({**columns, "embedding": vectors.tolist()}), path)
        files = cases(path.read_bytes(), "embeddings in Parquet")
    else:  # the arrays are mutated and not the archive, whose checksums would tell
        files = []
        for name, values in {**columns, "embedding": vectors}.items():
            array = io.BytesIO()
            np.save(array, np.asarray(values))
            for data in cases(array.getvalue(), "embeddings in npz", len(columns) + 1):
                np.savez(whole := io.BytesIO(), **{**columns, "embedding": vectors})
                files.append(_replaced(whole, f"{name}.npy", data))
    for data in files:
        path.write_bytes(data)
        try:
            found = reader.read_embeddings(path)
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            assert np.allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)
            assert len(found.subjects.codes) == len(found) == len(found.embeddings)
    assert good


def _replaced(archive: io.BytesIO, name: str, data: bytes) -> bytes:
    """A zip archive with another content of one member."""
    made = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(made, "w") as new:
        for member in old.namelist():
            new.writestr(member, data if member == name else old.read(member))
    return made.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "PPM"])
def test_photographs(head: np.ndarray, encode: Encode, format: str, cases: Cases) -> None:
    small = np.ascontiguousarray(head[::4, ::4])
    pixels, reasons, details = 0, set(), []
    for data in cases(encode(small, format), "photograph", parts=5):
        try:
            image = decode(data)
        except Rejected as rejected:
            reasons.add(rejected.reason)
            details.append(rejected.detail)
        else:
            pixels += 1
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
    assert pixels
    assert not [detail for detail in details if "\n" in detail or not detail]
    assert reasons <= {"empty", "not_an_image", "damaged", "too_large"}


def test_weights_files(tmp_path: Path, cases: Cases) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    from mfr_train.networks.resnet import read_weights

    path, good = tmp_path / "weights.safetensors", 0
    weights = save({"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}, {"a": "b"})
    for data in cases(weights, "weights in safetensors"):
        path.write_bytes(data)
        try:
            tensors, _ = read_weights(path)
        except maskgen.UsageError as error:
            one_sentence(error)
        else:
            good += 1
            assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    assert good
