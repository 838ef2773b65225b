"""From a data set to a run folder: both stages, what may change when a run resumes, and data that cannot be used."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import resnet18

import maskgen
from maskgen.errors import MaskgenError, UsageError
from mfr_train import hardware
from mfr_train.data.feature_cache import embed_rows
from mfr_train.networks import model as models
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.resnet import Network
from mfr_train.training import classify, curve, plots, train
from mfr_train.training.train_settings import TrainSettings
from tests.support.narrow import NarrowResNet18, use_whole_networks

Tiny = Callable[..., TrainSettings]


@pytest.fixture
def short(tiny: Tiny) -> Tiny:
    """Settings of both stages, with one mask and one validation each."""
    few = {"iterations": 2, "embed_iterations": 4, "validate_every": 4, "variants": ("wide_low",)}
    return lambda **given: tiny(**(few | given))


def rows(run: Path, stage: str) -> list[dict[str, str]]:
    return [row for row in curve.read(run / "curve.csv") if row["stage"] == stage]


def test_a_run_holds_both_stages_and_can_be_measured(short: Tiny, demo: Path) -> None:
    settings = short()
    run = train.train(settings)
    assert run == settings.out
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith(".")) == [
        "README.md", "backbone.safetensors", "checkpoints", "curve.csv", "curve.png", "curve.svg",
        "embedding.safetensors", "identities.json", "settings.json",
    ]  # fmt: skip
    record = json.loads((run / "settings.json").read_bytes())
    assert record["dataset"] == maskgen.open(demo).content
    assert record["finished"] is True
    assert (record["settings"]["backbone"], record["settings"]["variants"]) == ("resnet18", ["wide_low"])
    assert [len(rows(run, stage)) for stage in ("classify", "embed")] == [2, 4]

    # What stage 2 trained is what is measured: W l + b, scaled to length one, on the run's own network.
    model = models.load_run(run)
    features = embed_rows(maskgen.open(demo), model.backbone, "val", ("wide_low",), None)["wide_low"]
    layer = load_file(run / "embedding.safetensors")
    wanted = features @ layer["weight"].numpy().T + layer["bias"].numpy()
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(model.project(features), wanted, atol=1e-6)


def test_stage_2_leaves_the_network_as_it_is_to_the_bit(short: Tiny) -> None:
    run = train.train(short(stage="classify"))
    before = {path: path.read_bytes() for path in [run / "backbone.safetensors", *run.glob("checkpoints/classify-*")]}
    assert any("running_var" in name for name in load_file(run / "backbone.safetensors"))
    train.train(short(stage="embed"))
    assert (run / "embedding.safetensors").is_file()
    assert {path: path.read_bytes() for path in before} == before
    assert len(before) == 5


def test_the_stages_one_after_the_other_are_both_at_once(short: Tiny, tmp_path: Path, run_state: Callable) -> None:
    both = train.train(short(out=tmp_path / "both"))
    train.train(short(stage="classify"))
    assert run_state(train.train(short(stage="embed"))) == run_state(both)


def test_the_plot_shows_the_numbers_of_the_table(short: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    monkeypatch.setattr(train, "plot_curves", plots.plot_curves)

    drawn: list[tuple[Any, ...]] = []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, *data, **style: drawn.append(data) or plot(self, *data, **style))
    run = train.train(short(iterations=4, validate_every=2))
    with (run / "curve.csv").open() as file:
        table = list(csv.DictReader(file))
    wanted = [
        [(float(row["iteration"]), float(row[column])) for row in table if row["stage"] == stage and row[column]]
        for stage in ("classify", "embed")
        for column in ("loss", "val_accuracy")
    ]
    assert [list(zip(*data, strict=True)) for data in drawn] == wanted
    assert all(len(points) >= 2 for points in wanted)
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_stage_2_on_the_weights_of_an_earlier_run(short: Tiny, tmp_path: Path) -> None:
    first = train.train(short(out=tmp_path / "first", stage="classify", input_size=48))
    second = train.train(short(stage="embed", weights=first, input_size=None))
    assert models.load_run(second).backbone.fingerprint == models.load_run(first).backbone.fingerprint
    assert json.loads((second / "settings.json").read_bytes())["settings"]["input-size"] == 48
    assert not list(second.glob("checkpoints/classify*"))
    with pytest.raises(UsageError, match="first was trained at --input-size 48, not 32; leave it out"):
        train.train(short(stage="embed", weights=first, out=tmp_path / "third"))
    shutil.rmtree(first)
    train.train(short(stage="embed", weights=first, input_size=None, embed_iterations=8))
    assert len(rows(second, "embed")) == 8
    assert models.load_run(second).weight is not None  # it has its own copy


def test_the_network_of_the_weights_is_known_from_their_file(short: Tiny, tmp_path: Path) -> None:
    """The recipe `paper` would take ResNet50 at 224 pixels: the file says ResNet18, and at which size."""
    first = train.train(short(out=tmp_path / "first", stage="classify", input_size=48))
    paper = short(stage="embed", recipe="paper", weights=first, input_size=None)
    assert paper.backbone is None
    second = train.train(paper)
    settings = json.loads((second / "settings.json").read_bytes())["settings"]
    assert (settings["backbone"], settings["input-size"]) == ("resnet18", 48)
    assert models.load_run(second).backbone.fingerprint == models.load_run(first).backbone.fingerprint
    torch.save(Network("resnet18").trunk.state_dict(), tmp_path / "plain.pth")
    third = train.train(short(stage="embed", recipe="paper", weights=tmp_path / "plain.pth", out=tmp_path / "third"))
    settings = json.loads((third / "settings.json").read_bytes())["settings"]
    assert (settings["backbone"], settings["input-size"]) == ("resnet18", 32), "its shapes tell, and the size is given"


def test_an_unknown_format_of_the_plot_leaves_no_run_folder(short: Tiny) -> None:
    settings = short(figures="jpg")
    with pytest.raises(UsageError, match="--figures is 'jpg'; give a list of png, svg, pdf, or none"):
        train.train(settings)
    assert settings.out is not None
    assert not settings.out.exists()


def test_a_missing_tensorboard_leaves_no_run_folder(short: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    settings = short(tensorboard=True)
    with pytest.raises(UsageError, match="--tensorboard needs tensorboard, which is not installed; run pip install"):
        train.train(settings)
    assert settings.out is not None
    assert not settings.out.exists()


def test_weights_that_became_others_are_refused(short: Tiny, tmp_path: Path) -> None:
    """By the bytes of the file: its name, and the copy of it in the run, are what they were."""
    for seed in (5, 6):
        torch.manual_seed(seed)
        torch.save(Network("resnet18").trunk.state_dict(), tmp_path / f"{seed}.pth")
    own = shutil.copy(tmp_path / "5.pth", tmp_path / "own.pth")
    run = train.train(short(stage="embed", weights=own))
    shutil.copy(tmp_path / "6.pth", own)
    with pytest.raises(UsageError, match=r"own\.pth has become another file since .*run began with it; give --out"):
        train.train(short(stage="embed", weights=own, embed_iterations=8))
    assert json.loads((run / "settings.json").read_bytes())["finished"] is True
    shutil.copy(tmp_path / "5.pth", own)
    train.train(short(stage="embed", weights=own, embed_iterations=8))
    assert len(rows(run, "embed")) == 8


def test_a_refused_call_leaves_a_finished_run_finished(short: Tiny) -> None:
    run = train.train(short(stage="classify"))
    before = (run / "settings.json").read_bytes()
    with pytest.raises(UsageError, match="has done 2 steps and --iterations asks for 1"):
        train.train(short(stage="classify", iterations=1))
    assert (run / "settings.json").read_bytes() == before


def test_a_run_knows_the_identities_behind_it(short: Tiny, demo_tree: Path, demo: Path, make: Callable, tmp_path: Path):
    """Its own, and those of the run whose weights it began with."""
    first = train.train(short(out=tmp_path / "first", stage="classify"))
    assert models.load_run(first).identities == set(maskgen.open(demo).info["identities"])
    whole = sorted(demo_tree.iterdir())
    known = maskgen.open(demo).info["identities"]
    for folder in [next(f for f in whole if f.name not in known), *(f for f in whole if f.name in known)][:4]:
        shutil.copytree(folder, tmp_path / "few" / folder.name)
    other = make(tmp_path / "few", tmp_path / "other", size=64, test_identities=0, variants="wide_low")
    second = train.train(short(stage="embed", weights=first, data=str(other), out=tmp_path / "second"))
    both = {name for data in (demo, other) for name in maskgen.open(data).info["identities"]}
    assert models.load_run(second).identities == both > models.load_run(first).identities


@pytest.mark.parametrize("stage", ["classify", "embed"])
def test_weights_of_torchvision(short: Tiny, tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one stage torchvision's own network, in the other one with fewer channels, whose tensors have its names."""
    if stage == "embed":
        use_whole_networks(monkeypatch)
    torch.manual_seed(5)
    network = resnet18(num_classes=3) if stage == "embed" else NarrowResNet18()
    torch.save(network.state_dict(), tmp_path / "own.pth")
    # A learning rate of zero: what is left are the weights that training started from.
    run = train.train(short(stage=stage, weights=tmp_path / "own.pth", lr=0.0))
    found, wanted = load_file(run / "backbone.safetensors"), network.state_dict()
    names = {name for name in wanted if not name.startswith("fc.")}
    assert set(found) == names
    frozen = names if stage == "embed" else {name for name in names if name in dict(network.named_parameters())}
    assert all(torch.equal(found[name], wanted[name]) for name in frozen)
    if stage == "classify":
        assert not torch.equal(found["bn1.running_mean"], wanted["bn1.running_mean"])


def test_weights_that_do_not_fit_are_refused(short: Tiny, tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    for stage in ("classify", "embed"):
        with pytest.raises(UsageError, match=r"other\.pth has no fitting '.*'; choose the --backbone"):
            train.train(short(stage=stage, weights=tmp_path / "other.pth", out=tmp_path / stage))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UsageError, match="cannot read weights from"):
        train.train(short(weights=tmp_path / "text.pth", out=tmp_path / "text"))
    run = train.train(short(stage="classify", out=tmp_path / "run"))
    with pytest.raises(UsageError, match="run holds resnet18 weights; give --backbone resnet18"):
        train.train(short(stage="embed", weights=run, backbone="resnet50", out=tmp_path / "fifty"))
    with pytest.raises(UsageError, match="--stage embed needs a trained resnet18: give --weights a run or a file"):
        train.train(short(stage="embed", out=tmp_path / "bare"))


@pytest.fixture(scope="module")
def two_people(demo_tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of trainings on dlib's network: a data set of two people, and where its features are kept."""
    folder = tmp_path_factory.mktemp("two-people")
    data = make(demo_tree, folder / "smfd", size=64, test_identities=0, limit=16, variants="wide_low")
    return {"backbone": "dlib", "data": str(data), "cache": folder / "features"}


def test_dlib_is_a_backbone_without_stage_1(short: Tiny, two_people: dict[str, Any]) -> None:
    run = train.train(short(**two_people, mse_weight=0.0, embed_iterations=30, embed_lr=0.05))
    assert {row["stage"] for row in curve.read(run / "curve.csv")} == {"embed"}
    assert not (run / "backbone.safetensors").exists()
    model = models.load_run(run)
    assert (model.backbone.name, model.dim) == ("dlib", 16)
    found = rows(run, "embed")
    assert np.mean([float(row["loss"]) for row in found[-5:]]) < np.mean([float(row["loss"]) for row in found[:5]])


def test_a_run_on_dlibs_own_run_of_its_network_resumes(short: Tiny, two_people: dict[str, Any]) -> None:
    """Its checkpoints name another fingerprint, of the same features but for rounding."""
    run = train.train(short(**two_people, embed_iterations=4))
    first = rows(run, "embed")
    before = models.load_run(run).backbone.former_fingerprints[0]
    for path in (run / "checkpoints").glob("embed-*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"backbone": before}))
    train.train(short(**two_people, embed_iterations=6))
    found = rows(run, "embed")
    assert found[: len(first)] == first
    assert len(found) == len(first) + 2
    last = json.loads((run / "checkpoints/embed-last.json").read_text())
    assert last["backbone"] == before, "it did not start again"
    assert models.load_run(run).dim == 16


def test_a_longer_run_is_the_run_that_was_longer_from_the_start(
    short: Tiny, tmp_path: Path, run_state: Callable
) -> None:
    """Stage 1 resumes and gives another network: stage 2 is trained again on that one, and nothing old is left."""
    train.train(short(iterations=2, validate_every=2))
    old = models.load_run(tmp_path / "run").fingerprint
    longer = {"iterations": 4, "validate_every": 2, "embed_iterations": 6}
    run = train.train(short(**longer))
    assert models.load_run(run).fingerprint != old
    whole = run_state(train.train(short(**longer, out=tmp_path / "whole")))
    state = run_state(run)
    order = {"classify": 0, "embed": 1}
    assert sorted(state.pop("curve").split(), key=lambda line: order.get(line.split(",")[0], -1)) == (
        whole.pop("curve").split()
    )
    assert state == whole


def test_what_may_not_change_is_refused_by_name(short: Tiny, demo_tree: Path, make: Callable, tmp_path: Path) -> None:
    train.train(short(stage="classify"))
    for name, value, said in (
        ("lr", 0.5, "has lr 0.01 where this run has 0.5"),
        ("margin", 0.3, "has margin 0.2 where this run has 0.3"),
        ("variants", ("wide_high",), r'has variants \["wide_low"\] where this run has \["wide_high"\]'),
        ("backbone", "resnet50", 'has backbone "resnet18" where this run has "resnet50"'),
    ):
        with pytest.raises(UsageError, match=f"{said}; give --out another folder"):
            train.train(short(stage="classify", **{name: value}))
    other = make(demo_tree, tmp_path / "other", size=64, test_identities=0.3, variants="wide_low", limit=40)
    with pytest.raises(UsageError, match=r"has dataset .* where this run has"):
        train.train(short(stage="classify", data=str(other)))
    moved = shutil.copytree(short().data, tmp_path / "moved")
    train.train(short(stage="classify", data=str(moved), workers=1, micro_batch=4))


@pytest.fixture(scope="module")
def stores(demo_tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    return {
        f"{store} {form}": make(
            demo_tree, folder / store / form, size=64, shard_size=12, limit=64, store=store, format=form
        )
        for store in ("rendered", "recipe")
        for form in ("parquet", "webdataset")
    }


@pytest.mark.slow
def test_formats_and_stores_train_to_the_same_curve(short: Tiny, stores: dict[str, Path], tmp_path: Path) -> None:
    """Formats: to the last digit, in both stages. Stores: nearly, since the pictures of a rendered set went through
    JPEG once more than those drawn from a recipe; 5 % is more than that and less than what other photographs give."""
    found = {}
    for name, folder in stores.items():
        store = name.replace(" ", "-")
        run = train.train(short(data=str(folder), out=tmp_path / store, cache=tmp_path / "cache" / store))
        found[name] = (run / "curve.csv").read_text()
    for store in ("rendered", "recipe"):
        assert found[f"{store} parquet"] == found[f"{store} webdataset"]

    rendered, recipe = (
        [float(line.split(",")[2]) for line in found[f"{store} parquet"].split()[1:]]
        for store in ("rendered", "recipe")
    )
    assert rendered != recipe
    assert rendered[0] == pytest.approx(recipe[0], rel=0.05)
    other = train.train(short(data=str(stores["recipe parquet"]), out=tmp_path / "other", seed=1, stage="classify"))
    assert float(rows(other, "classify")[0]["loss"]) != pytest.approx(recipe[0], rel=0.05)


def test_random_variants_are_trained_on_as_masked(
    short: Tiny, demo_tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make(demo_tree, tmp_path / "random", size=64, variants="random", limit=40)
    run = train.train(short(data=str(folder), variants=()))
    assert json.loads((run / "settings.json").read_bytes())["settings"]["variants"] == ["masked"]
    assert len(rows(run, "embed")) == 4


# Bad input: one sentence each, and nothing is computed before it is said.


def test_no_data_set_and_one_of_another_schema(short: Tiny, demo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no data set in .*none .*make one with `maskgen build`"):
        train.train(short(data=str(tmp_path / "none")))
    copy = shutil.copytree(demo, tmp_path / "copy")
    info = json.loads((copy / "dataset.json").read_bytes())
    (copy / "dataset.json").write_text(json.dumps({**info, "schema_version": 99}))
    with pytest.raises(UsageError, match="has schema version 99; this maskgen reads 1 and 2: rebuild it"):
        train.train(short(data=str(copy)))
    (copy / "dataset.json").write_text(json.dumps(info))
    for path in (copy / "__markers").glob("train-*.json"):
        path.unlink()
    with pytest.raises(MaskgenError, match=r"/train lacks shards; (run )?`maskgen verify .*"):
        train.train(short(data=str(copy)))
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stage", ["classify", "embed"])
def test_a_damaged_shard_is_named_in_one_sentence(
    short: Tiny, demo: Path, tmp_path: Path, workers: int, stage: str
) -> None:
    copy = shutil.copytree(demo, tmp_path / "copy")
    for shard in sorted(copy.glob("train/*.parquet")):
        data = shard.read_bytes()
        shard.write_bytes(data[: len(data) // 2])
    settings = short(data=str(copy), workers=workers, stage=stage)
    if stage == "embed":
        torch.save(Network("resnet18").trunk.state_dict(), tmp_path / "own.pth")
        settings = replace(settings, weights=tmp_path / "own.pth")
    with pytest.raises(MaskgenError, match=r"^shard .*train/0000\d\.parquet cannot be read .*maskgen verify") as error:
        train.train(settings)
    assert "\n" not in str(error.value)


def test_variants_that_the_data_set_lacks(short: Tiny) -> None:
    with pytest.raises(UsageError, match="has no pictures 'masked'; give --variants from wide_high, wide_medium"):
        train.train(short(variants=("wide_low", "masked")))


def test_no_training_photographs(short: Tiny, demo_tree: Path, make: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copytree(demo_tree / "collins", tmp_path / "one/collins")
    shutil.copytree(demo_tree / "hopper", tmp_path / "one/hopper")
    folder = make(tmp_path / "one", tmp_path / "smfd", test_identities=1.0)
    with pytest.raises(UsageError, match="has no training photographs; build it with fewer --test-identities"):
        train.train(short(data=str(folder)))


def test_without_a_test_split_training_is_possible(
    short: Tiny, demo_tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make(demo_tree, tmp_path / "smfd", size=64, test_identities=0, variants="wide_low", limit=24)
    assert maskgen.open(folder).count("test") == 0
    run = train.train(short(data=str(folder), stage="classify"))
    assert len(rows(run, "classify")) == 2


def test_one_identity_or_single_photographs_are_told_before_features_are_computed(
    short: Tiny, demo_tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(demo_tree / "collins", tmp_path / "one/collins")
    one = make(tmp_path / "one", tmp_path / "smfd1", size=64, test_identities=0, variants="wide_low")
    for name in ("collins", "hopper", "lfw012"):
        source = demo_tree / name if (demo_tree / name).is_dir() else next(demo_tree.glob("lfw*"))
        (tmp_path / "singles" / name).mkdir(parents=True)
        shutil.copy(source / "0001_01.jpg", tmp_path / "singles" / name)
    singles = make(tmp_path / "singles", tmp_path / "smfd2", size=64, test_identities=0, variants="wide_low")
    dlib = {"backbone": "dlib", "stage": "embed"}
    with pytest.raises(UsageError, match=r"stage 2 needs two identities .* train has 1; build more"):
        train.train(short(data=str(one), **dlib))
    with pytest.raises(UsageError, match="no identity has two photographs; choose --positive any"):
        train.train(short(data=str(singles), positive="other", out=tmp_path / "other", **dlib))
    assert not (tmp_path / "features").exists()
    # An identity with one picture has itself, masked, for a positive.
    run = train.train(short(data=str(singles), out=tmp_path / "any", **dlib))
    assert len(rows(run, "embed")) == 4


def test_a_stale_cache_is_refused(short: Tiny, tmp_path: Path) -> None:
    run = train.train(short())
    arrays = sorted((tmp_path / "features").rglob("wide_low.npy"))
    assert len(arrays) == 2  # train and val
    data = arrays[0].read_bytes()
    arrays[0].write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(MaskgenError, match=r"are damaged or truncated; remove the folder .* computed again"):
        train.train(short(embed_iterations=8))
    shutil.rmtree(arrays[0].parent)
    assert train.train(short(embed_iterations=8)) == run
    assert len(rows(run, "embed")) == 8


def test_a_gpu_that_is_not_there(short: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device cuda, but PyTorch sees no GPU here"):
        train.train(short(device="cuda"))
    assert hardware.device("auto") == "cpu"


def test_weights_are_a_function_of_the_seed(short: Tiny, tmp_path: Path, run_state: Callable) -> None:
    runs = [
        run_state(train.train(short(stage="classify", seed=seed, out=tmp_path / f"{number}")))
        for number, seed in enumerate((3, 3, 4))
    ]
    assert runs[0] == runs[1]
    assert runs[0]["curve"] != runs[2]["curve"]


def test_the_network_that_is_measured_is_the_one_that_was_validated(short: Tiny, demo: Path) -> None:
    run = train.train(short(stage="classify", iterations=4, validate_every=4))
    state = json.loads((run / "checkpoints/classify-best.json").read_bytes())
    network = Network("resnet18", 7)
    tensors = load_file(run / "checkpoints" / state["file"])
    network.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    backbone = load_backbone(str(run / "backbone.safetensors"))
    features = torch.from_numpy(embed_rows(maskgen.open(demo), backbone, "val", ("wide_low",), None)["wide_low"])
    labels = torch.tensor([row.label for row in maskgen.open(demo).rows("val", images=())])
    right = (network.classifier(features).argmax(dim=1) == labels).float().mean()
    assert float(right) == pytest.approx(float(rows(run, "classify")[-1]["val_accuracy"]), abs=1e-6)
    assert classify.CPU_MICRO_BATCH == 32
