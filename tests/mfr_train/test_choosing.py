"""Lambda chosen on training identities: a planted answer, who trains and who is measured, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskgen.errors import UsageError
from mfr_train.ablation import choosing
from mfr_train.data.feature_cache import RowIndex
from mfr_train.networks.backbone import Backbone
from mfr_train.training import embed
from mfr_train.training.train import Frozen
from mfr_train.training.train_settings import TrainSettings, filled

TOO_SMALL, RIGHT, TOO_LARGE = 0.1, 300.0, 1e6
PEOPLE, PHOTOGRAPHS, WIDTH = 24, 4, 8


@pytest.fixture
def there() -> Frozen:
    """Features of one half the person, of the other half the picture: only a layer that drops the latter recognises.

    30 small steps drop it with lambda 300. With 0.1 the triplet loss moves the layer too little, and with a million the
    first step makes it one that gives all people the same embedding.
    """
    rng = np.random.default_rng(0)
    people, nuisance = rng.normal(size=(PEOPLE, WIDTH)), rng.normal(size=(2, PEOPLE * PHOTOGRAPHS, WIDTH))
    labels = np.repeat(np.arange(PEOPLE, dtype=np.int32), PHOTOGRAPHS)
    person = (people / np.linalg.norm(people, axis=1, keepdims=True))[labels]
    pictures = 1.5 * nuisance / np.linalg.norm(nuisance, axis=2, keepdims=True)
    features = [np.concatenate([person, each], axis=1).astype(np.float32) for each in pictures]
    names = np.array([f"person {label:02}" for label in labels])
    index = RowIndex(np.array([f"{row:09}" for row in range(len(labels))]), labels, names, names, np.empty((96, 0, 3)))
    rows = {"train": labels >= 0, "val": np.arange(len(labels)) % PHOTOGRAPHS == 3}
    rows["train"] &= ~rows["val"]
    return Frozen(
        Backbone("planted", 2 * WIDTH, None, "b", lambda *_: np.empty(0)),
        {
            split: RowIndex(*(getattr(index, name)[chosen] for name in index.__dataclass_fields__))
            for split, chosen in rows.items()
        },
        {split: [each[chosen] for each in features] for split, chosen in rows.items()},
    )


@pytest.fixture
def full(one_thread: None) -> TrainSettings:
    given = TrainSettings(recipe="small", backbone="dlib", embed_iterations=30, dim=16, triplets=50, device="cpu")
    return replace(filled(given), variants=("masked",))


def test_the_planted_weight_is_chosen_by_a_rate_and_by_auc(there: Frozen, full: TrainSettings, tmp_path: Path) -> None:
    weights = (TOO_LARGE, RIGHT, TOO_SMALL)
    found = choosing.chosen_on(there, "d", full, weights, tmp_path, "eer", 0)
    assert found.weight == RIGHT
    assert max(found.values[RIGHT]) < 0.05
    assert min(*found.values[TOO_SMALL], *found.values[TOO_LARGE]) > 0.1
    assert (found.identities, found.photographs) == (PEOPLE, PEOPLE * PHOTOGRAPHS)
    assert found.genuine == PEOPLE * PHOTOGRAPHS * (PHOTOGRAPHS - 1)  # a photograph is never its own probe
    assert found.impostor == 2 * 12 * 11 * PHOTOGRAPHS**2
    by_auc = choosing.chosen_on(there, "d", full, weights, tmp_path, "auc", 0)
    assert by_auc.weight == RIGHT
    assert min(by_auc.values[RIGHT]) > 0.99


def test_a_half_is_measured_by_a_layer_that_saw_the_other_alone(
    there: Frozen, full: TrainSettings, tmp_path: Path
) -> None:
    """GMean and AUC by numpy alone, from a layer that was trained on a copy of the features of one half."""
    found = choosing.chosen_on(there, "d", full, (3.0,), tmp_path / "run", "auc", 0)
    names = {split: rows.identities for split, rows in there.rows.items()}
    for number, half in enumerate(choosing.cut_in_halves(names, 0)):
        own = {
            split: embed.cached([each[rows] for each in there.features[split]], there.rows[split].labels[rows])
            for split, rows in half.rows.items()
        }
        run = tmp_path / f"own-{number}"
        run.mkdir()
        layer = embed.train_embedding(replace(full, mse_weight=3.0), own["train"], own["val"], 16, run, {"a": "b"})
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        others = {split: np.setdiff1d(np.arange(len(names[split])), rows) for split, rows in half.rows.items()}
        people = np.concatenate([names[split][rows] for split, rows in others.items()])
        sides = []
        for picture in (0, 1):
            values = np.concatenate([there.features[split][picture][rows] for split, rows in others.items()])
            values = values @ weight.T + bias
            sides.append(values / np.linalg.norm(values, axis=1, keepdims=True))
        scores, same = sides[0] @ sides[1].T, people[:, None] == people
        genuine, impostor = scores[same & ~np.eye(len(people), dtype=bool)], scores[~same]
        auc = (genuine[:, None] > impostor).mean()
        assert 0.6 < auc < 0.999
        assert found.values[3.0][number] == pytest.approx(auc, abs=1e-4)


def test_every_person_is_in_one_half_whatever_the_split_of_their_photographs() -> None:
    names = {"train": np.array(["a", "b", "c", "a", "d", "e"]), "val": np.array(["e", "a", "f"])}
    one, other = choosing.cut_in_halves(names, 0)
    people = [{str(name) for split, rows in half.rows.items() for name in names[split][rows]} for half in (one, other)]
    assert people[0] | people[1] == set("abcdef")
    assert not people[0] & people[1]
    assert len(people[0]) == 3
    for split, found in names.items():
        assert sorted([*one.rows[split], *other.rows[split]]) == list(range(len(found)))
    drawn = {tuple(choosing.cut_in_halves(names, seed)[0].rows["train"]) for seed in range(8)}
    assert len(drawn) > 1


def test_people_are_measured_until_there_are_enough_photographs() -> None:
    names = {"train": np.repeat([f"{number}" for number in range(40)], 5)}
    for half in choosing.cut_in_halves(names, 0, most=12):
        assert len(half.rows["train"]) == 100
        assert len(half.measured["train"]) == 15  # whole people: two would be 10
        assert set(half.measured["train"]) <= set(half.rows["train"])


def test_of_equal_weights_the_smallest_is_chosen() -> None:
    values = {30.0: (0.2, 0.4), 10.0: (0.4, 0.2), 3.0: (0.5, 0.5)}
    assert choosing.best(values, "eer") == 10
    assert choosing.best(values, "auc") == 3


def test_training_people_that_cannot_be_cut_are_refused(there: Frozen, full: TrainSettings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"half of the training identities out, and there are 3; it needs 4: build"):
        choosing.cut_in_halves({"train": np.array(["a", "b", "c", "c"])}, 0)
    once = np.arange(0, len(there.rows["train"]), PHOTOGRAPHS - 1)
    single = Frozen(
        there.backbone,
        {
            split: RowIndex(
                *(getattr(rows, name)[once if split == "train" else []] for name in rows.__dataclass_fields__)
            )
            for split, rows in there.rows.items()
        },
        {split: [each[once if split == "train" else []] for each in found] for split, found in there.features.items()},
    )
    with pytest.raises(UsageError, match=r"--choose-mse-weight compares two photographs of a person"):
        choosing.chosen_on(single, "d", full, (3.0, 30.0), tmp_path, "eer", 0)
