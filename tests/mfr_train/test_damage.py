"""Damaged shards: `stop` ends in a sentence, `skip` leaves the broken rows out, counts them, and spoils no cache."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner

import maskgen
from maskgen.dataset import damage
from maskgen.errors import MaskgenError
from mfr_train.cli.main import mfr
from mfr_train.data import batches, feature_cache, one_pass
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.resnet import Network
from mfr_train.networks.run_files import record_of
from mfr_train.training.train import train
from tests.support.data_sets import make
from tests.support.hostile import Change, change_row, forge
from tests.support.narrow import use_narrow_networks

SCENARIOS = ("U-U", "U-M", "M-M")


@pytest.fixture(scope="module", params=["parquet", "webdataset"])
def undamaged(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undamaged") / "smfd"
    return make(tree, out, size=64, shard_size=6, format=request.param, variants="wide_low,round_high")


@pytest.fixture
def data(undamaged: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(undamaged, tmp_path / "smfd"))


pytestmark = pytest.mark.usefixtures("one_thread", "undrawn", "narrow")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights that sees 32 x 32 pixels."""
    path = tmp_path_factory.mktemp("network") / "random.safetensors"
    facts = {"architecture": "resnet18", "input_size": "32"}
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        network = Network("resnet18")
    safetensors.torch.save_file(network.trunk.state_dict(), path, facts)
    return path


def no_picture(row: dict) -> None:
    row["round_high"] = {"bytes": b"junk" * 99, "path": None}


def no_place(row: dict) -> None:
    row["landmarks"] = [float("nan"), *row["landmarks"][1:]]


def other_label(row: dict) -> None:
    row["label"] = 10_000


def torn_inside(row: dict) -> None:
    """A JPEG that still decodes, to other pixels, while libjpeg warns of it."""
    jpeg = row["unmasked"]["bytes"]
    torn = jpeg[: len(jpeg) * 3 // 4] + b"\xff\xd9"
    assert cv2.imdecode(np.frombuffer(torn, np.uint8), cv2.IMREAD_COLOR) is not None
    row["unmasked"] = {"bytes": torn, "path": None}


BROKEN: dict[str, Change] = {
    "a picture that is none": no_picture,
    "landmarks that are no place": no_place,
    "a label of nobody": other_label,
    "a torn picture": torn_inside,
}


def key_of(data: Path, number: int, split: str = "test") -> str:
    return next(islice(maskgen.open(data).rows(split, images=()), number, None)).key


def measured(data: Path, network: Path, out: Path, **options):
    """The scores of each scenario by pair of keys and pictures, and the report."""
    few = {"bootstrap": 0, "breakdown": False, "figures": "none", "workers": 0, "device": "cpu"}
    options = {"cache": out / "cache"} | few | options
    report = evaluate(data=data, model=str(network), out=out / "report", **options)
    names = ("reference", "reference_picture", "probe", "probe_picture", "genuine")
    found = {}
    for scenario in SCENARIOS:
        rows = pq.read_table(out / f"report/{scenario}.parquet").to_pylist()
        found[scenario] = {tuple(row[name] for name in names): row["score"] for row in rows}
    return found, report


@pytest.fixture(scope="module")
def whole(undamaged: Path, network: Path, tmp_path_factory: pytest.TempPathFactory):
    """What `measured` gives for the data set before it is damaged."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        return measured(undamaged, network, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("name", BROKEN)
def test_skip_gives_the_scores_of_all_other_photographs(
    data: Path, network: Path, whole, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    everything, before = whole
    key = key_of(data, 3)
    path = change_row(data, BROKEN[name], number=3)
    capfd.readouterr()
    found, report = measured(data, network, tmp_path / "after", on_damage="skip")
    for scenario in SCENARIOS:
        expected = {pair: score for pair, score in everything[scenario].items() if key not in pair}
        assert found[scenario].keys() == expected.keys()
        assert len(expected) < len(everything[scenario])
        assert found[scenario] == pytest.approx(expected, abs=1e-6)
    assert (report.photographs, before.photographs) == (11, 12)
    assert report.failures == before.failures | {"damaged_row": 1}
    [note] = [note for note in report.notes if "other bytes" in note]
    assert note == f"Shard test/{path.stem} has other bytes than its marker says: 1 of its 6 rows are left out."
    assert type(report).load(tmp_path / "after/report").failures == report.failures
    assert "Corrupt JPEG" not in capfd.readouterr().err


@pytest.mark.parametrize("name", BROKEN)
def test_stop_ends_in_a_sentence_with_the_shard_also_after_skip(
    data: Path, undamaged: Path, network: Path, whole, tmp_path: Path, name: str
) -> None:
    path = change_row(data, BROKEN[name], number=3)
    measured(data, network, tmp_path / "skip", on_damage="skip", cache=tmp_path / "cache")
    call = ["eval", "--data", str(data), "--model", str(network), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    result = CliRunner().invoke(mfr, [*call, "--out", str(tmp_path / "stop"), "--workers", "0"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.output
    assert path.name in result.output
    assert not (tmp_path / "stop/report.json").exists()
    shutil.rmtree(data)
    shutil.copytree(undamaged, data)
    repaired, _ = measured(data, network, tmp_path / "repaired", cache=tmp_path / "cache")
    assert repaired == whole[0], "nothing of the damaged shard is in the cache of the whole one"


@pytest.mark.slow
def test_the_same_features_with_any_number_of_workers(
    data: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not list(data.glob("test/*.parquet")):
        pytest.skip("starting processes takes long; one format is enough")
    change_row(data, no_picture, number=3)
    left = damage.without_broken_rows(maskgen.open(data), ("test",))
    monkeypatch.setattr(one_pass, "ROWS_PER_WORKER", 1)
    alone, several = (
        feature_cache.embed_rows(left, load_backbone(str(network)), "test", ("wide_low",), None, workers)
        for workers in (0, 2)
    )
    assert len(alone["wide_low"]) == 11
    np.testing.assert_allclose(several["wide_low"], alone["wide_low"], rtol=1e-5)


def test_a_second_evaluation_with_skip_uses_its_cache_and_says_so_again(
    data: Path, network: Path, tmp_path: Path
) -> None:
    change_row(data, no_picture, number=3)
    planned: list[int] = []
    once, first = measured(
        data, network, tmp_path / "1", on_damage="skip", cache=tmp_path / "c", planned=planned.append
    )
    twice, second = measured(
        data, network, tmp_path / "2", on_damage="skip", cache=tmp_path / "c", planned=planned.append
    )
    assert planned == [2 * 11, 0], "the unmasked picture and one mask of each"
    assert twice == once
    assert second.failures == first.failures
    assert second.notes == first.notes


def test_the_command_shows_what_was_left_out(data: Path, network: Path, tmp_path: Path) -> None:
    change_row(data, no_picture, number=3)
    call = ["eval", "--data", str(data), "--model", str(network), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    call += ["--bootstrap", "0"]
    result = CliRunner().invoke(mfr, [*call, "--out", str(tmp_path / "x"), "--workers", "0", "--on-damage", "skip"])
    assert result.exit_code == 0, result.output
    assert "1 damaged_row" in result.output
    assert "1 of its 6 rows are left out" in " ".join(result.output.split())


def test_training_leaves_the_row_out_of_batches_and_of_stage_2(data: Path, tiny: Callable, tmp_path: Path) -> None:
    keys = [row.key for row in maskgen.open(data).rows("train", images=())]
    change_row(data, no_picture, split="train", number=3)
    with pytest.raises(MaskgenError, match=r"photograph [0-9]{9} in shard train/00000 is damaged"):
        train(tiny(data=str(data), out=tmp_path / "stop", iterations=30))
    folder = train(tiny(data=str(data), on_damage="skip", iterations=2, embed_iterations=2))
    assert record_of(folder)["left_out"] == {"train/00000": 1}
    assert record_of(folder)["dataset"] != maskgen.open(data).content
    [features] = (tmp_path / "features").glob("*/*/train/unmasked.npy")
    assert len(np.load(features)) == len(keys) - 1
    with pytest.raises(MaskgenError, match="another"):
        train(tiny(data=str(data), iterations=2, embed_iterations=2))


def test_batches_show_every_other_row_with_any_number_of_workers(data: Path) -> None:
    """An epoch of one lane: each row's picture as often as the data set has it, but that of the broken row."""
    dataset = maskgen.open(data)
    pictures = [row.image("unmasked").tobytes() for row in dataset.rows("train")]
    change_row(data, other_label, split="train", number=3)
    left = damage.without_broken_rows(dataset, ("train", "val"))
    assert left.left_out == {"train/00000": (3,)}
    feed = batches.Feed(str(data), 1, 64, dataset.variants, 0.0, seed=3, buffer=4)
    shown = [
        [
            images[0].numpy().tobytes()
            for images, _ in islice(batches.batches(feed, workers=w, dataset=left), left.count("train"))
        ]
        for w in ((0, 1) if list(data.glob("test/*.parquet")) else (0, 0))
    ]
    assert shown[0] == shown[1]
    assert Counter(shown[0]) == Counter(pictures[:3] + pictures[4:])


def test_the_train_command_says_what_was_left_out(data: Path, tmp_path: Path) -> None:
    change_row(data, no_picture, split="val", number=1)
    sizes = ["--input-size", "32", "--batch", "8", "--iterations", "2", "--embed-iterations", "2", "--workers", "0"]
    call = [
        "train",
        "--data",
        str(data),
        "--recipe",
        "small",
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        *sizes,
    ]
    result = CliRunner().invoke(mfr, [*call, "--on-damage", "skip", "--cache", str(tmp_path / "cache")])
    assert result.exit_code == 0, result.output
    assert "Broken rows of damaged shards were left out: 1 of val/00000" in " ".join(result.output.split())


def test_a_whole_data_set_gives_the_same_with_skip(data: Path, network: Path, tmp_path: Path) -> None:
    stopped, first = measured(data, network, tmp_path / "1")
    skipped, second = measured(data, network, tmp_path / "2", on_damage="skip")
    assert stopped == skipped
    assert (first.failures, first.notes) == (second.failures, second.notes)
    assert damage.without_broken_rows(maskgen.open(data), ("train", "val", "test")).left_out == {}
    for split in ("train", "val", "test"):
        assert {damage.broken_rows(shard) for shard in maskgen.open(data).shards(split)} == {()}


def test_rows_of_a_view_keep_their_keys(data: Path) -> None:
    dataset = maskgen.open(data)
    rows = [row.key for row in dataset]
    first = dataset.count("train") + dataset.count("val")
    change_row(data, no_picture, number=3)
    left = damage.without_broken_rows(dataset, ("test",))
    gone, following = rows[first + 3], rows[first + 4]
    assert [row.key for row in left] == [key for key in rows if key != gone]
    assert (len(left), left.count("test"), left[first + 3].key) == (len(rows) - 1, 11, following)
    assert left[following].key == following
    assert following in left
    assert gone not in left
    with pytest.raises(KeyError, match="is damaged in shard test/00000 and left out"):
        left[gone]
    assert left.to_pandas("test")["key"].tolist() == [key for key in rows[first:] if key != gone]


def test_what_follows_a_damaged_header_or_an_end_is_left_out(data: Path) -> None:
    dataset = maskgen.open(data)
    [shard, other] = dataset.shards("test")
    path = data / f"{shard.name}.{shard.ending}"
    whole = path.read_bytes()
    if shard.ending == "tar":
        header = whole.index(f"{key_of(data, 4)}.".encode())
        path.write_bytes(whole[:header] + b"!" + whole[header + 1 :])
        assert damage.without_broken_rows(dataset, ("test",)).left_out == {shard.name: (4, 5)}
        path.write_bytes(whole[:header])
        assert damage.without_broken_rows(dataset, ("test",)).left_out == {shard.name: (4, 5)}
    else:
        path.write_bytes(whole[:-4])
        assert damage.without_broken_rows(dataset, ("test",)).left_out == {shard.name: tuple(range(6))}
    path.unlink()
    left = damage.without_broken_rows(dataset, ("test",))
    assert left.left_out == {shard.name: tuple(range(6))}
    assert [row.key for row in left.rows("test")] == [row.key for row in other.read(())]


@pytest.mark.parametrize("forged", [False, True])
def test_features_of_other_shards_do_not_get_into_the_cache_of_a_data_set(
    data: Path, network: Path, tmp_path: Path, forged: bool
) -> None:
    """A copy that says it is the data set, with its dataset.json and perhaps with markers of its own, is not it."""
    original = maskgen.open(shutil.copytree(data, tmp_path / "original"))
    swapped = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    change_row(data, lambda row: row.update(unmasked={"bytes": swapped, "path": None}))
    if forged:
        forge(data, content=False)
    hostile, backbone = maskgen.open(data), load_backbone(str(network))
    assert hostile.content == original.content
    what = "other content than its markers" if forged else "other bytes than its marker says"
    with pytest.raises(MaskgenError, match=what.replace("other content", "another content")):
        feature_cache.embed_rows(hostile, backbone, "test", ("unmasked",), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.*"))
    if forged:
        with pytest.raises(MaskgenError, match="another content"):
            damage.without_broken_rows(hostile, ("test",))
        forge(data)
        assert maskgen.open(data).content != original.content, "it is a data set of its own"
    else:
        assert damage.without_broken_rows(hostile, ("test",)).content != original.content


def test_a_lost_connection_is_no_damage(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be fetched now is not left out of what is measured."""
    dataset = maskgen.open(data)

    def lost(storage: object, name: str) -> str:
        raise ConnectionResetError("the connection was lost")

    monkeypatch.setattr(type(dataset.storage), "sha256", lost)
    monkeypatch.setattr(type(dataset.storage), "distant", True)
    with pytest.raises(MaskgenError, match="the connection was lost"):
        damage.without_broken_rows(dataset, ("test",))


def test_a_run_with_nothing_left_out_records_nothing_of_it(data: Path, tiny: Callable) -> None:
    folder = train(tiny(data=str(data), on_damage="skip", iterations=2, embed_iterations=2))
    assert "left_out" not in json.loads((folder / "settings.json").read_bytes())
