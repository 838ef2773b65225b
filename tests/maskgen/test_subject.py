"""Whose face is taken: the subject's, not a bystander's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as command
from maskgen.errors import Rejected
from maskgen.imaging.detectors import Hog
from maskgen.imaging.subject import is_certain, is_plausible, scores
from tests.support.faces import encoded

GREY = 90


def test_scores_by_hand() -> None:
    boxes = [(40, 40, 59, 59), (0, 0, 39, 39), (80, 40, 99, 59)]
    # Areas 400, 1600 and 400; centres (50, 50), (20, 20), (90, 50) in a frame of 100 x 100, whose centre is (50, 50):
    # squared distances 0, 900 + 900 and 1600.
    np.testing.assert_array_equal(scores(boxes, 100, 100, "largest"), [400, 1600, 400])
    np.testing.assert_array_equal(scores(boxes, 100, 100, "central"), [400, 1600 - 2 * 1800, 400 - 2 * 1600])
    assert [is_plausible(score) for score in scores(boxes, 100, 100, "central")] == [True, False, False]


def test_a_face_is_plausible_up_to_071_of_its_side_from_the_centre() -> None:
    # A box of 20 x 20, moved sideways: 2 * d^2 < 400 for d < 14.14.
    moved = [(40 + d, 40, 59 + d, 59) for d in (0, 14, 15, -14, -15)]
    assert [is_plausible(s) for s in scores(moved, 100, 100, "central")] == [True, True, False, True, False]


def test_a_box_around_the_middle_of_the_photograph_ends_the_search() -> None:
    # The middle of 100 x 60 pixels is (49.5, 29.5).
    boxes = [(40, 20, 59, 39), (50, 20, 69, 39), (30, 10, 49, 29), (30, 10, 50, 30)]
    assert [is_certain(box, 100, 60, "central") for box in boxes] == [True, False, False, True]
    assert is_certain((0, 0, 9, 9), 100, 60, "largest")


def place(canvas: np.ndarray, face: np.ndarray, side: int, left: int, top: int) -> None:
    shrinks = side < face.shape[0]
    canvas[top : top + side, left : left + side] = cv2.resize(
        face, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


@pytest.fixture
def beside(head: np.ndarray) -> np.ndarray:
    """A large face at the right edge, found on the first copy; in the middle a small one, found on a larger copy."""
    canvas = np.full((360, 360, 3), GREY, np.uint8)
    place(canvas, head, 100, 130, 130)
    place(canvas, head, 130, 230, 230)
    place(canvas, head, 130, 230, 0)
    return canvas


def test_the_search_goes_on_until_the_central_face_is_found(beside: np.ndarray) -> None:
    central, largest = maskgen.Landmarker(face="central").find(beside), maskgen.Landmarker(face="largest").find(beside)
    assert central is not None
    assert largest is not None
    middle = central.landmarks.mean(axis=0)
    assert ((middle > 150) & (middle < 215)).all(), middle
    assert largest.landmarks.mean(axis=0)[0] > 240


def test_a_face_in_the_middle_beats_a_larger_one_beside_it_of_an_earlier_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The boxes that dlib gives for a photograph of LFW, where a bystander's face covers more and is found first."""
    copies = {120: [(127.0, 11.0, 277.0, 161.0)], 250: [(83.0, 93.0, 170.0, 179.0)], 500: []}
    monkeypatch.setattr(Hog, "find", lambda self, image, grey, side: np.array(copies[side]).reshape(-1, 4))
    picture = np.full((250, 250, 3), GREY, np.uint8)
    assert scores(copies[120], 250, 250, "central")[0] > scores(copies[250], 250, 250, "central")[0] > 0
    found = maskgen.Landmarker(face="central").detect(picture)
    assert found is not None
    assert found.tolist() == list(copies[250][0])
    copies[250] = []
    found = maskgen.Landmarker(face="central").detect(picture)
    assert found is not None, "the only face, near enough to the middle"
    assert found.tolist() == list(copies[120][0])


def test_only_bystanders_is_a_reject_that_says_what_to_do(beside: np.ndarray) -> None:
    beside[130:230, 130:230] = GREY
    [found] = maskgen.Landmarker(face="central").find_all([beside], [None])
    assert isinstance(found, Rejected)
    assert found.reason == "no_central_face"
    assert found.detail.endswith("is not at the centre of 360 x 360 pixels; --face largest takes it")
    assert maskgen.Landmarker(face="central").find(beside) is None
    assert maskgen.Landmarker(face="largest").find(beside) is not None


def test_a_build_masks_the_subject_and_rejects_bystanders(
    beside: np.ndarray, head: np.ndarray, write_tree: Any, tmp_path: Path, rejects: Any, make: Any
) -> None:
    alone = beside.copy()
    alone[130:230, 130:230] = GREY
    pictures = {"ann/1.png": beside, "ann/2.png": alone, "bob/1.png": head}
    src = write_tree(tmp_path / "src", {name: encoded(image, "PNG") for name, image in pictures.items()})
    rows = {row.source: row for row in maskgen.open(make(src, tmp_path / "central", size=0, test_identities=0))}
    assert rejects(tmp_path / "central") == {"ann/2.png": "no_central_face"}
    x0, y0, x1, y1 = rows["ann/1.png"].box
    assert 130 < (x0 + x1) / 2 < 230
    assert 130 < (y0 + y1) / 2 < 230
    card = (tmp_path / "central/README.md").read_text()
    assert "the face nearest to its centre for its size was taken, found by: hog." in card
    every = {row.source for row in maskgen.open(make(src, tmp_path / "largest", face="largest", test_identities=0))}
    assert every == set(pictures)


def test_the_summary_says_what_to_try(beside: np.ndarray, head: np.ndarray, write_tree: Any, tmp_path: Path) -> None:
    beside[130:230, 130:230] = GREY
    blank = np.full((90, 90, 3), GREY, np.uint8)
    for name, other, words in (
        ("off", beside, "--face largest takes"),
        ("none", blank, "--detector hog,yunet also finds"),
    ):
        src = write_tree(tmp_path / name, {"ann/1.png": encoded(other, "PNG"), "ann/2.png": encoded(head, "PNG")})
        settings = ["--engine", "serial", "--test-identities", "0", "--size", "64"]
        result = CliRunner().invoke(
            command, ["build", "--src", str(src), "--out", str(tmp_path / f"{name}-out"), *settings]
        )
        assert result.exit_code == 0, result.output
        assert words in result.output
