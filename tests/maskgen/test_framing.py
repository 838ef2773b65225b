"""Where faces fill little of the photographs of a shard, the middle of each is searched first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import maskgen
from maskgen.dataset.identity import fingerprint, versions
from maskgen.imaging.detectors import Hog
from maskgen.imaging.framing import SAMPLE, Framing
from maskgen.pipeline import sample

SMALL, LARGE, ASIDE = (80, 80, 149, 149), (40, 40, 189, 189), (10, 10, 79, 79)
"""Boxes in a photograph of 240 pixels: 0.29 and 0.63 of its side, and one beside the middle."""


class Middle:
    """A detector that finds the boxes it was given, photograph by photograph."""

    def __init__(self, *boxes: tuple[int, int, int, int] | None) -> None:
        self.boxes = list(boxes)

    def find_in_middle(self, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        box = self.boxes.pop(0)
        return np.array([box] if box else [], np.float64).reshape(-1, 4)


def faces(framing: Framing, detector: Any, count: int) -> list[tuple[float, ...] | None]:
    grey = np.zeros((240, 240), np.uint8)
    found = [framing.face_in_middle(detector, grey) for _ in range(count)]
    return [None if box is None else tuple(box.tolist()) for box in found]


def test_most_of_the_first_photographs_decide() -> None:
    framing, middle = Framing(), Middle(SMALL, None, SMALL, LARGE, ASIDE, SMALL)
    # Small faces of all: 1 of 1, 1 of 2, 2 of 3; then the shard is loosely framed, whatever follows.
    assert faces(framing, middle, 6) == [SMALL, None, SMALL, LARGE, None, SMALL]


def test_tight_crops_are_no_longer_searched_in_the_middle() -> None:
    framing, middle = Framing(), Middle(LARGE, SMALL, ASIDE)
    assert faces(framing, middle, 9) == [None] * 9
    assert not middle.boxes, f"{SAMPLE} are searched"
    framing, middle = Framing(), Middle(None, LARGE)
    assert faces(framing, middle, 9) == [None] * 9, "two that agree are enough"


def test_a_box_of_the_middle_is_in_pixels_of_the_photograph(head: np.ndarray) -> None:
    grey = np.full((220, 300), 90, np.uint8)
    grey[10:210, 40:240] = cv2.cvtColor(cv2.resize(head, (200, 200)), cv2.COLOR_RGB2GRAY)
    [box], [same] = Hog().find_in_middle(grey), Hog().find(grey, grey, 300)
    np.testing.assert_allclose(box, same, atol=0.15 * (same[2] - same[0]))


def test_landmarks_of_loosely_framed_faces_are_those_of_the_whole_photograph(head: np.ndarray) -> None:
    landmarker, framing = maskgen.Landmarker(face="central"), Framing()
    photograph = np.full((250, 250, 3), 90, np.uint8)
    photograph[50:200, 45:195] = cv2.resize(head, (150, 150), interpolation=cv2.INTER_AREA)
    loose = landmarker.find_all([photograph] * 2, [None] * 2, framing=framing)
    [whole] = landmarker.find_all([photograph], [None])
    assert framing.is_loose
    for face in loose:
        between = np.hypot(*(whole.landmarks[36] - whole.landmarks[45]))
        assert np.hypot(*(face.landmarks - whole.landmarks).T).mean() < 0.04 * between


def test_tight_crops_give_what_they_gave_without_a_framing(head: np.ndarray) -> None:
    landmarker, framing = maskgen.Landmarker(face="central"), Framing()
    crop = np.ascontiguousarray(head[30:-30, 30:-30])
    [tight] = landmarker.find_all([crop], [None], framing=framing)
    [before] = landmarker.find_all([crop], [None])
    assert not framing.is_loose
    np.testing.assert_array_equal(tight.landmarks, before.landmarks)
    np.testing.assert_array_equal(tight.box, before.box)


def test_a_build_of_an_earlier_search_is_another_build() -> None:
    described = {"schema_version": 2, "settings": {}, "versions": versions(), "plan_sha256": "0"}
    before = {**described, "versions": {name: found for name, found in versions().items() if name != "search"}}
    assert fingerprint(before) != fingerprint(described)


def test_a_loosely_framed_shard_has_the_same_bytes_whatever_is_searched_together(
    head: np.ndarray, write_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = {}
    for number in range(6):
        photograph = np.full((250, 250, 3), 90 + number, np.uint8)
        photograph[50:200, 40 + 2 * number : 190 + 2 * number] = cv2.resize(head, (150, 150))
        photographs[f"ann/{number}.png"] = cv2.imencode(".png", photograph[..., ::-1])[1].tobytes()
    src = write_tree(tmp_path / "src", photographs)
    middle, searched = Hog.find_in_middle, list[int]()
    monkeypatch.setattr(Hog, "find_in_middle", lambda self, grey: searched.append(1) or middle(self, grey))
    found = []
    for group in (32, 1, 4):
        monkeypatch.setattr(sample, "GROUP", group)
        out = tmp_path / str(group)
        maskgen.build(src=src, out=out, engine="serial", test_identities=0.0, size=64)
        found.append({path.name: path.read_bytes() for path in sorted(out.glob("*/*.parquet"))})
    assert found[0] == found[1] == found[2]
    assert len(searched) == 3 * len(photographs), "all, not only those that tell the framing"
