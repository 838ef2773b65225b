"""A data set from a stranger: what it says becomes no path outside the folders that were named, and no traceback."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.dataset import identity
from maskgen.errors import MaskgenError
from mfr_train.cli.main import mfr as mfr_command


@pytest.fixture
def hostile(built: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of `built` whose dataset.json is changed by `change(facts)`, with a fingerprint to match if asked for."""

    def make(change: Callable[[dict[str, Any]], object], *, matching: bool = False) -> Path:
        out = tmp_path / "inside/smfd"
        shutil.copytree(built, out)
        facts = json.loads((out / "dataset.json").read_bytes())
        change(facts)
        if matching:
            facts["fingerprint"] = identity.fingerprint({name: facts[name] for name in identity.DESCRIPTION})
        (out / "dataset.json").write_text(json.dumps(facts))
        return out

    return make


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


EVERYWHERE = "../../../../../x"

ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], object], bool, str]] = {
    "content is a path": (lambda facts: facts.update(content="/tmp/somewhere"), False, "a hash is not 64"),
    "content leads upwards": (lambda facts: facts.update(content=EVERYWHERE), False, "a hash is not 64"),
    "content is a number": (lambda facts: facts.update(content=7), False, "a hash is not 64"),
    "fingerprint leads upwards": (lambda facts: facts.update(fingerprint=EVERYWHERE), False, "a hash is not 64"),
    "plan hash in capitals": (lambda facts: facts.update(plan_sha256="A" * 64), True, "a hash is not 64"),
    "variant leads upwards": (lambda facts: facts["variants"].append(EVERYWHERE), False, "variants are not those"),
    "variants of the settings lead upwards": (
        lambda facts: (facts["settings"].update(variants=EVERYWHERE), facts.update(variants=[EVERYWHERE])),
        True,
        "variants are not those",
    ),
    "variant twice": (
        lambda facts: (
            facts["settings"].update(variants="wide_low,wide_low"),
            facts.update(variants=["wide_low", "wide_low"]),
        ),
        True,
        "variants are not those",
    ),
    "another size": (lambda facts: facts["settings"].update(size=97), False, "fingerprint is of other settings"),
    "other versions": (lambda facts: facts["versions"].update(numpy="0"), False, "fingerprint is of other settings"),
    "another store": (
        lambda facts: (facts["settings"].update(store="recipe"), facts.update(store="recipe")),
        False,
        "fingerprint is of other settings",
    ),
    "a split that leads upwards": (
        lambda facts: facts["counts"].update({EVERYWHERE: facts["counts"]["test"]}),
        False,
        "counts are not those of splits",
    ),
    "fewer rows than none": (lambda facts: facts["counts"]["test"].update(rows=-1), False, "counts are not those"),
    "true rows": (lambda facts: facts["counts"]["test"].update(rows=True), False, "counts are not those"),
    "identities that are no names": (lambda facts: facts.update(identities=[["x"]]), False, "not a list of names"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_command_refuses_what_another_one_refuses(
    hostile: Callable[..., Path], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written: not in the folders named, and not beside them."""
    change, matching, words = ATTACKS[name]
    out = hostile(change, matching=matching)
    monkeypatch.chdir(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(MaskgenError, match=words):
        maskgen.open(out)
    evaluate = ["eval", "--data", str(out), "--model", "dlib", "--cache", "inside/cache", "--out", "inside/eval"]
    train = ["train", "--data", str(out), "--recipe", "small", "--cache", "inside/cache", "--out", "inside/run"]
    calls = [
        (maskgen_command, ["verify", str(out)]),
        (maskgen_command, ["inspect", str(out)]),
        (maskgen_command, ["preview", str(out), "-o", "inside/sheet.png"]),
        (mfr_command, evaluate),
        (mfr_command, train),
    ]
    for group, call in calls:
        result = CliRunner().invoke(group, call)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), (call, result.output)
        assert words in " ".join(result.output.split()), call
        assert "Traceback" not in result.output
    assert files_of(tmp_path) == before


def test_a_marker_of_another_name_is_passed_over(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(built, out)
    for name in ("abc.json", "test-x.json", "test-0.json", "other-00000.json"):
        (out / "__markers" / name).write_text("{}")
    assert len(maskgen.open(out)) == len(maskgen.open(built))
    result = CliRunner().invoke(maskgen_command, ["inspect", str(out)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3e38])
@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_landmarks_that_are_no_place_are_one_sentence_with_the_shard(
    tree: Path, make: Callable[..., Path], tmp_path: Path, format: str, value: float
) -> None:
    out = make(tree, tmp_path / "smfd", format=format, variants="wide_low", store="recipe", shard_size=50)
    [shard] = maskgen.open(out).shards("test")
    path = out / f"{shard.name}.{shard.ending}"
    if format == "parquet":
        table = pq.read_table(path)
        points = np.array(table["landmarks"].to_pylist(), np.float32)
        points[3, 7] = value
        column = pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), type=table.schema.field("landmarks").type)
        place = table.schema.get_field_index("landmarks")
        pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    else:
        path.write_bytes(with_landmark(path.read_bytes(), value))
    with pytest.raises(MaskgenError, match=rf"shard .*{path.name} cannot be read \(a box or a landmark is no number"):
        list(maskgen.open(out).rows("test"))
    result = CliRunner().invoke(
        mfr_command, ["eval", "--data", str(out), "--model", "dlib", "--cache", str(tmp_path / "c"), "--workers", "1"]
    )
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.output
    assert path.name in result.output.replace("\n", "")


def with_landmark(data: bytes, value: float) -> bytes:
    """A tar whose first .json has this number as a landmark."""
    written = io.BytesIO()
    done = False
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=written, mode="w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            body = content.read()
            if member.name.endswith(".json") and not done:
                facts, done = json.loads(body), True
                facts["landmarks"][7] = value
                body = json.dumps(facts).encode()
            header = tarfile.TarInfo(member.name)
            header.size = len(body)
            new.addfile(header, io.BytesIO(body))
    return written.getvalue()
