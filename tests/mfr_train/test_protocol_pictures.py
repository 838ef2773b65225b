"""Pictures of a protocol table: features and failures are the same for any number of processes."""

from __future__ import annotations

from itertools import chain, zip_longest
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import maskgen
from maskgen.errors import UsageError
from mfr_train.evaluation import protocol_pictures
from mfr_train.evaluation.protocol_pictures import Picture, Pictures
from mfr_train.networks.backbone import CHUNK, Backbone

COUNT = CHUNK + 7
BROKEN = (3, CHUNK + 1)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of one grey each, of growing width, two of which are no pictures."""
    made = [tmp_path / f"{number:03}.png" for number in range(COUNT)]
    for number, path in enumerate(made):
        if number in BROKEN:
            path.write_bytes(b"no picture\n")
        else:
            cv2.imwrite(str(path), np.full((40, 40 + number, 3), number + 1, np.uint8))
    return made


def brightness(batches: list[int]) -> Backbone:
    """A network that gives the mean of a picture and its width; keeps the sizes of its batches."""

    def run(images, landmarks) -> np.ndarray:
        batches.append(len(images))
        assert landmarks.shape == (len(images), 68, 2)
        return np.array([(image.mean(), image.shape[1]) for image in images], np.float32)

    return Backbone("brightness", 2, 224, "print", run)


def check(found: tuple[np.ndarray, list[str]]) -> None:
    features, reasons = found
    expected = np.array([(number + 1, 40 + number) for number in range(COUNT)], np.float32)
    expected[list(BROKEN)] = 0
    np.testing.assert_array_equal(features, expected)
    assert [number for number, reason in enumerate(reasons) if reason] == list(BROKEN)
    assert {reason for reason in reasons if reason} == {"not_an_image"}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_features_are_those_of_each_picture_in_order(
    paths: list[Path], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_pictures, "PICTURES_PER_WORKER", 1)
    batches: list[int] = []
    done: list[int] = []
    check(protocol_pictures.features(paths, brightness(batches), None, workers, done.append))
    assert batches == [CHUNK - 1, 6], "the usable ones of each group: the network is given the same for any number"
    assert done == [CHUNK, 7]


@pytest.mark.parametrize("workers", [2, 3])
def test_pieces_of_several_processes_in_turn_are_all_pictures_in_order(
    paths: list[Path], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[list[list[Picture]]] = []
    for number in range(workers):
        worker = SimpleNamespace(id=number, num_workers=workers)
        monkeypatch.setattr(protocol_pictures, "get_worker_info", lambda worker=worker: worker)
        shares.append(list(Pictures(paths, None).pieces()))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1

    def in_turn(decoder: Pictures, count: int) -> chain[list[Picture]]:
        assert count == workers
        return chain.from_iterable(filter(None, each) for each in zip_longest(*shares))

    monkeypatch.setattr(protocol_pictures, "decoded", in_turn)
    monkeypatch.setattr(protocol_pictures, "PICTURES_PER_WORKER", 1)
    check(protocol_pictures.features(paths, brightness([]), None, workers, lambda _: None))


def test_few_pictures_start_no_process(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(protocol_pictures, "decoded", lambda _, count: started.append(count) or iter([]))
    protocol_pictures.features(paths, brightness([]), None, 8, lambda _: None)
    protocol_pictures.features(paths * 20, brightness([]), None, 8, lambda _: None)
    assert started == [0, len(paths) * 20 // protocol_pictures.PICTURES_PER_WORKER]


def test_a_picture_without_a_face_is_a_failure_if_faces_are_searched(paths: list[Path]) -> None:
    landmarker = maskgen.Landmarker(face="central")
    _, reasons = protocol_pictures.features(paths[2:4], brightness([]), landmarker, 0, lambda _: None)
    assert reasons == ["no_face", "not_an_image"]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_cannot_be_read_is_named(paths: list[Path], workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_pictures, "PICTURES_PER_WORKER", 1)
    paths[5].unlink()
    with pytest.raises(UsageError, match=r"cannot read .*005\.png of the protocol table: No such file"):
        protocol_pictures.features(paths, brightness([]), None, workers, lambda _: None)
