"""Stage 2: its numbers by hand, the same from a cache as from the network, and no interruption shows."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskgen.errors import MaskgenError, UsageError
from mfr_train.networks import resnet
from mfr_train.training import curve, embed, triplets
from mfr_train.training.heads import embedded, new_head, new_layer
from mfr_train.training.train_settings import TrainSettings, filled

LABELS = np.repeat(np.arange(5, dtype=np.int32), [4, 3, 6, 1, 2])
FACTS = {"stage": "embed", "dataset": "d", "backbone": "b", "settings": {"dim": 16}}


def clusters(seed: int, pictures: int = 3, width: int = 8) -> list[np.ndarray]:
    """Features of people: one direction each, and a mask's own direction on masked pictures."""
    rng = np.random.default_rng(7)
    people, masks = rng.normal(size=(5, width)), rng.normal(size=(pictures, width))
    masks[0] = 0
    noise = np.random.default_rng(seed)
    return [
        (people[LABELS] + 1.5 * mask + 0.3 * noise.normal(size=(len(LABELS), width))).astype(np.float32)
        for mask in masks
    ]


@pytest.fixture
def settings(tiny: Callable[..., TrainSettings]) -> TrainSettings:
    return filled(tiny(stage="embed", validate_every=4))


def run(settings: TrainSettings, **given: Any) -> Any:
    full = replace(settings, **given)
    assert full.out
    full.out.mkdir(parents=True, exist_ok=True)
    train, val = (embed.cached(clusters(seed), LABELS) for seed in (0, 1))
    return embed.train_embedding(full, train, val, 8, full.out, FACTS)


def losses(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in curve.read(folder / "curve.csv")]


def by_hand(layer: torch.nn.Linear, features: list[np.ndarray], drawn: triplets.Triplets, kind: str) -> float:
    """TL with margin 0.3 and 5 times the MSE, in float64 and numpy alone."""
    weight, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
    parts = []
    for rows, pictures in zip(drawn.rows, drawn.pictures, strict=True):
        found = np.stack([features[picture][row] for row, picture in zip(rows, pictures, strict=True)]) @ weight.T
        parts.append((found + bias) / np.linalg.norm(found + bias, axis=1, keepdims=True))
    a, p, n = parts
    measure = {
        "squared": lambda x, y: ((x - y) ** 2).sum(1),
        "euclidean": lambda x, y: np.sqrt(((x - y) ** 2).sum(1)),
        "cosine": lambda x, y: 1 - (x * y).sum(1),
    }[kind]
    return float(np.maximum(measure(a, p) - measure(a, n) + 0.3, 0).mean() + 5 * ((a - p) ** 2).mean())


@pytest.mark.parametrize("kind", ["squared", "euclidean", "cosine"])
def test_the_loss_of_the_first_step_is_that_of_its_triplets(settings: TrainSettings, kind: str) -> None:
    run(settings, embed_iterations=1, distance=kind, margin=0.3, mse_weight=5.0)
    groups = triplets.group(LABELS)
    drawn = triplets.draw(groups, 20, 2, 0.5, "any", "any", np.random.default_rng([0, 1]))
    wanted = by_hand(new_layer(8, 16, 0), clusters(0), drawn, kind)
    assert wanted > 0.1
    assert losses(settings.out)[0] == pytest.approx(wanted, rel=1e-5)


def test_a_step_is_sgd_on_the_layer_alone(settings: TrainSettings) -> None:
    layer = run(settings, embed_iterations=1, embed_lr=0.5, embed_weight_decay=0.1)
    start = new_layer(8, 16, 0)
    drawn = triplets.draw(triplets.group(LABELS), 20, 2, 0.5, "any", "any", np.random.default_rng([0, 1]))
    features = clusters(0)
    stacked = [
        torch.tensor(np.stack([features[p][r] for r, p in zip(rows, pictures, strict=True)]))
        for rows, pictures in zip(drawn.rows, drawn.pictures, strict=True)
    ]
    a, p, n = (torch.nn.functional.normalize(start(part)) for part in stacked)
    near, far = (a - p).square().sum(1), (a - n).square().sum(1)
    (torch.relu(near - far + 0.2).mean() + settings.mse_weight * (a - p).square().mean()).backward()
    for name in ("weight", "bias"):
        before = getattr(start, name)
        wanted = before - 0.5 * (before.grad + 0.1 * before)
        torch.testing.assert_close(getattr(layer, name), wanted, rtol=1e-5, atol=1e-6)


def test_the_loss_falls_and_masked_faces_come_nearer_than_strangers(settings: TrainSettings) -> None:
    run(settings, embed_iterations=200, embed_lr=0.1, validate_every=50, log_every=50, mse_weight=0.0)
    rows = curve.read(settings.out / "curve.csv")
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2
    assert float(rows[-1]["val_accuracy"]) > 0.95


def test_the_start_keeps_the_angles_of_the_features() -> None:
    features = torch.tensor(clusters(0)[0])
    embedded = new_layer(8, 16, 3)(features)
    cosines = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(cosines(embedded[:1], embedded[1:]), cosines(features[:1], features[1:]))
    assert not torch.equal(new_layer(8, 16, 3).weight, new_layer(8, 16, 4).weight)


def test_triplets_of_training_are_unmasked_masked_and_someone_else(settings: TrainSettings) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    pictures = embed.cached(clusters(0), LABELS)
    watched = replace(pictures, gather=lambda rows, which: seen.append((rows, which)) or pictures.gather(rows, which))
    settings.out.mkdir()
    embed.train_embedding(settings, watched, None, 8, settings.out, FACTS)
    assert len(seen) == 12
    for rows, which in seen:
        anchor, positive, negative = LABELS[rows.reshape(3, 20)]
        assert (anchor == positive).all()
        assert (anchor != negative).all()
        assert (which.reshape(3, 20)[0] == 0).all()
        assert (which.reshape(3, 20)[1] > 0).all()
    assert len({tuple(rows) for rows, _ in seen}) == 12


def test_the_cache_gives_the_curve_of_running_the_network_each_step(settings: TrainSettings, tmp_path: Path) -> None:
    """A picture's feature depends on the others in its batch by float32 rounding alone, so the curves agree to 1e-4."""
    torch.manual_seed(0)
    network = resnet.Network("resnet18")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    backbone = resnet.resnet_backbone(network, "resnet18", 32)
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (len(LABELS), 32, 32, 3), dtype=np.uint8) for _ in range(3)]
    no_landmarks = np.zeros((0, 68, 2), np.float32)

    def live(rows: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        shown = [pixels[picture][row] for row, picture in zip(rows, pictures, strict=True)]
        return backbone.features(shown, no_landmarks)

    features = [backbone.features(list(images), no_landmarks) for images in pixels]
    sources = {"cache": embed.cached(features, LABELS), "network": embed.Pictures(LABELS, 2, live)}
    found, layers = {}, {}
    for name, source in sources.items():
        out = tmp_path / name
        out.mkdir()
        full = replace(settings, embed_iterations=6, embed_lr=0.1)
        layers[name] = embed.train_embedding(full, source, None, backbone.dim, out, FACTS)
        found[name] = losses(out)
    assert found["cache"] == pytest.approx(found["network"], rel=1e-4)
    assert len(set(found["cache"])) == 6
    torch.testing.assert_close(layers["cache"].weight, layers["network"].weight, rtol=1e-3, atol=1e-5)
    # Frozen: every weight and every BatchNorm statistic is what it was, to the bit.
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.trunk.parameters())


def test_gathering_takes_each_picture_from_its_own_array() -> None:
    features = [np.full((4, 2), 10 * number, np.float32) + np.arange(4)[:, None] for number in range(3)]
    found = embed.cached(features, np.zeros(4, np.int32)).gather(np.array([3, 0, 2]), np.array([1, 2, 0]))
    np.testing.assert_array_equal(found, [[13, 13], [20, 20], [2, 2]])


def test_best_is_the_lowest_validation_loss_and_is_returned(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, shown = iter([(0.5, 0.1), (0.3, 0.2), (0.4, 0.3)]), []
    monkeypatch.setattr(
        embed, "_validation", lambda *_: lambda layer: shown.append(layer.weight.detach().clone()) or next(script)
    )
    layer = run(settings)
    states = {
        name: json.loads((settings.out / f"checkpoints/embed-{name}.json").read_bytes()) for name in ("best", "last")
    }
    assert (states["best"]["iteration"], states["last"]["iteration"]) == (8, 12)
    assert states["last"]["best"] == 0.3
    assert torch.equal(layer.weight, shown[1])
    assert not torch.equal(shown[1], shown[2])
    assert states["best"]["settings"] == FACTS["settings"]


def test_without_two_validation_identities_the_last_state_counts(settings: TrainSettings) -> None:
    settings.out.mkdir()
    train = embed.cached(clusters(0), LABELS)
    alone = embed.cached([array[:4] for array in clusters(1)], LABELS[:4])
    embed.train_embedding(settings, train, alone, 8, settings.out, FACTS)
    assert {row["val_accuracy"] for row in curve.read(settings.out / "curve.csv")} == {""}
    assert json.loads((settings.out / "checkpoints/embed-best.json").read_bytes())["iteration"] == 12


def test_killed_at_any_step_it_goes_on_as_if_nothing_had_been(
    settings: TrainSettings, start: Callable, run_state: Callable, tmp_path: Path
) -> None:
    process = start(
        settings,
        """
import importlib.util
spec = importlib.util.spec_from_file_location("test_embed", FILE)
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
step, steps = torch.optim.SGD.step, []
def stops(self):
    steps.append(step(self))
    if len(steps) == 7:
        print("here", flush=True)
        signal.pause()
torch.optim.SGD.step = stops
tests.run(settings)
""".replace("FILE", repr(__file__)),
    )
    assert process.stdout.readline() == "here\n", process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(losses(settings.out)) == 6
    run(settings)
    run(settings, out=tmp_path / "whole")
    assert run_state(settings.out) == run_state(tmp_path / "whole")
    assert len(losses(settings.out)) == 12


def test_a_longer_run_goes_on_and_a_shorter_one_is_refused(
    settings: TrainSettings, tmp_path: Path, run_state: Callable
) -> None:
    run(settings, embed_iterations=8)
    with pytest.raises(UsageError, match="has done 8 steps and --embed-iterations asks for 4"):
        run(settings, embed_iterations=4)
    run(settings)
    run(settings, out=tmp_path / "whole")
    assert run_state(settings.out) == run_state(tmp_path / "whole")


@pytest.mark.parametrize("fact", ["dataset", "backbone", "settings"])
def test_a_checkpoint_of_something_else_is_refused(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch, fact: str
) -> None:
    run(settings)
    monkeypatch.setitem(FACTS, fact, {"dim": 8} if fact == "settings" else "x")
    with pytest.raises(UsageError, match=r"embed-last\.json has .* where this run has .*; give --out another folder"):
        run(settings)


def test_a_loss_that_is_not_finite_names_the_learning_rate_of_stage_2(settings: TrainSettings) -> None:
    features = clusters(0)
    settings.out.mkdir()
    run(settings, embed_iterations=4)
    features[1][:] = np.inf
    source = embed.cached(features, LABELS)
    said = r"the loss of stage 2 is nan at step 5; the last good checkpoint is kept in .*, so lower --embed-lr"
    with pytest.raises(MaskgenError, match=said):
        embed.train_embedding(settings, source, None, 8, settings.out, FACTS)
    assert json.loads((settings.out / "checkpoints/embed-last.json").read_bytes())["iteration"] == 4


def test_one_identity_gives_no_triplet(settings: TrainSettings) -> None:
    settings.out.mkdir()
    one = embed.cached([array[:4] for array in clusters(0)], LABELS[:4])
    with pytest.raises(UsageError, match="stage 2 needs two identities for its triplets and train has 1; build more"):
        embed.train_embedding(settings, one, None, 8, settings.out, FACTS)


@pytest.mark.parametrize("kind", ["linear", "eum"])
def test_validation_embeds_each_picture_once_and_measures_all_triplets(settings: TrainSettings, kind: str) -> None:
    full = filled(replace(settings, head=kind, distance="cosine"))
    val = embed.cached(clusters(1), LABELS)
    head, seen = new_head(kind, 8, 16, 0), list[int]()
    next(part for part in head.modules() if isinstance(part, torch.nn.Linear)).register_forward_hook(
        lambda _, given, __: seen.append(len(given[0]))
    )
    found = embed._validation(full, val, torch.device("cpu"))(head)
    assert sum(seen) <= 3 * 3 * len(LABELS) < embed.VALIDATION_TRIPLETS

    negative = "unmasked" if kind == "eum" else "masked"
    drawn = triplets.draw(
        triplets.group(LABELS), embed.VALIDATION_TRIPLETS, 2, 1.0, "any", negative, np.random.default_rng([0, 0])
    )
    gathered = torch.from_numpy(val.gather(drawn.rows.ravel(), drawn.pictures.ravel()))
    with torch.inference_mode():
        head.eval()
        a, p, n = embedded(head, *gathered.chunk(3))
        loss, nearer = embed._loss(full, a, p, n), ((a * p).sum(1) > (a * n).sum(1)).float().mean()
    assert found == pytest.approx((float(loss), float(nearer)), rel=1e-5)
