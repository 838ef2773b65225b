"""One photograph from bytes to a sample: its pictures, its colours, its coordinates, and why there is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

import maskgen
from maskgen.dataset.record import Row
from maskgen.errors import Rejected
from maskgen.imaging.seeding import color_of, variant_of
from maskgen.imaging.variants import VARIANTS
from maskgen.pipeline.build_settings import BuildSettings
from maskgen.pipeline.sample import make_sample

PLANNED = {
    "key": "000000007",
    "source": "ann/1.jpg",
    "identity": "ann",
    "split": "train",
    "label": 3,
    "face": None,
}


@pytest.fixture(scope="module")
def photograph(head: np.ndarray, encode: Callable[..., bytes]) -> bytes:
    return encode(head, "PNG")


def sample(data: bytes, landmarker: Any, face: Any = None, **settings: Any) -> Row:
    build = BuildSettings(src=Path("src"), out=Path("out"), **settings)
    return make_sample(data, PLANNED | {"face": face}, build, landmarker)


def pixels(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[:, :, ::-1]


def reason(data: bytes, landmarker: Any, face: Any = None, **settings: Any) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        sample(data, landmarker, face, **settings)
    return caught.value.reason, caught.value.detail


def test_a_sample_carries_its_row_of_the_plan_and_six_masks(photograph: bytes, landmarker: maskgen.Landmarker) -> None:
    made = sample(photograph, landmarker)
    assert (made.key, made.source, made.identity, made.split, made.label) == (
        "000000007",
        "ann/1.jpg",
        "ann",
        "train",
        3,
    )
    assert (made.width, made.height, made.variant) == (224, 224, None)
    assert tuple(made.pictures) == ("unmasked", *VARIANTS)
    assert {pixels(data).shape for data in made.pictures.values()} == {(224, 224, 3)}
    assert made.colors == {name: color_of(0, "ann/1.jpg", name, ()) for name in VARIANTS}


def test_landmarks_are_found_in_the_photograph_and_carried_to_the_stored_picture(
    astronaut: np.ndarray, encode: Callable[..., bytes], landmarker: maskgen.Landmarker
) -> None:
    wide = np.ascontiguousarray(astronaut[:300])  # 512 x 300: stretched to 224 x 224
    face = landmarker.find(wide)
    assert face is not None
    made = sample(encode(wide, "PNG"), landmarker)
    np.testing.assert_allclose(made.landmarks, (face.landmarks + 0.5) * (224 / 512, 224 / 300) - 0.5, atol=1e-3)
    corners = (face.box.reshape(2, 2) + 0.5) * (224 / 512, 224 / 300) - 0.5
    np.testing.assert_allclose(made.box, corners.ravel(), atol=1e-3)
    own = sample(encode(wide, "PNG"), landmarker, size=0)
    assert (own.width, own.height) == (512, 300)
    np.testing.assert_array_equal(own.landmarks, face.landmarks)


@pytest.mark.parametrize("how", ["stretch", "crop", "pad"])
def test_masks_are_in_their_colours_where_their_outlines_are(
    astronaut: np.ndarray, encode: Callable[..., bytes], landmarker: maskgen.Landmarker, how: str
) -> None:
    made = sample(encode(np.ascontiguousarray(astronaut[:300]), "PNG"), landmarker, fit=how, quality=100)
    plain = pixels(made.pictures["unmasked"]).astype(int)
    blank = np.zeros((224, 224, 3), np.uint8)
    for name in VARIANTS:
        picture = pixels(made.pictures[name]).astype(int)
        share = maskgen.draw(blank, made.landmarks, name, (255, 255, 255))[:, :, 0]
        near = cv2.dilate(share, np.ones((35, 35), np.uint8)) > 0  # an edge changes its JPEG block of 16 x 16, too
        inside = cv2.erode(share, np.ones((3, 3), np.uint8)) == 255
        assert inside.sum() > 100
        assert np.abs(picture - made.colors[name])[inside].mean() < 4, name
        assert np.abs(picture - plain)[~near].max() <= 3, name


def test_recipe_renders_the_very_bytes_that_rendered_stores(photograph: bytes, landmarker: maskgen.Landmarker) -> None:
    for quality in (60, 95):
        recipe = sample(photograph, landmarker, store="recipe", quality=quality)
        rendered = sample(photograph, landmarker, quality=quality)
        assert tuple(recipe.pictures) == ("unmasked",)
        np.testing.assert_array_equal(recipe.landmarks, rendered.landmarks)
        assert recipe.colors == rendered.colors
        base = np.ascontiguousarray(pixels(recipe.pictures["unmasked"]))
        drawn = {name: maskgen.draw(base, recipe.landmarks, name, recipe.colors[name]) for name in VARIANTS}
        for name, image in {"unmasked": base, **drawn}.items():
            done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
            assert done
            assert data.tobytes() == rendered.pictures[name], name


def test_no_network_can_tell_masked_pictures_by_their_compression(
    photograph: bytes, landmarker: maskgen.Landmarker
) -> None:
    made = sample(photograph, landmarker, quality=83)
    headers = set()
    for data in made.pictures.values():
        with Image.open(io.BytesIO(data)) as picture:
            assert isinstance(picture, JpegImageFile)
            headers.add((str(picture.quantization), str(picture.layer), picture.size, str(sorted(picture.info))))
    assert len(headers) == 1


def test_random_draws_one_variant_and_its_colour(photograph: bytes, landmarker: maskgen.Landmarker) -> None:
    every = sample(photograph, landmarker, seed=4)
    one = sample(photograph, landmarker, seed=4, variants="random")
    variant = variant_of(4, "ann/1.jpg")
    assert one.variant == variant
    assert one.colors == {"masked": every.colors[variant]}
    assert one.pictures == {"unmasked": every.pictures["unmasked"], "masked": every.pictures[variant]}


def test_a_list_of_variants_gives_those_pictures_as_all_does(photograph: bytes, landmarker: maskgen.Landmarker) -> None:
    every = sample(photograph, landmarker)
    some = sample(photograph, landmarker, variants="round_low,wide_high")
    assert some.pictures == {name: every.pictures[name] for name in ("unmasked", "round_low", "wide_high")}


def test_the_same_photograph_gives_the_same_bytes_and_other_seeds_other_colours(
    photograph: bytes, landmarker: maskgen.Landmarker
) -> None:
    first, again = sample(photograph, landmarker), sample(photograph, maskgen.Landmarker())
    assert first.pictures == again.pictures
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert all(sample(photograph, landmarker, seed=1).colors[name] != first.colors[name] for name in VARIANTS)


def test_colours_may_be_given(photograph: bytes, landmarker: maskgen.Landmarker) -> None:
    made = sample(photograph, landmarker, colors="#0a0b0c")
    assert set(made.colors.values()) == {(10, 11, 12)}


def test_no_face(encode: Callable[..., bytes], landmarker: maskgen.Landmarker) -> None:
    assert reason(encode(np.zeros((30, 20, 3), np.uint8)), landmarker) == (
        "no_face",
        "no frontal face found in 20 x 30 pixels",
    )


@pytest.mark.parametrize("cut", ["left", "right", "bottom"])
def test_a_face_cut_by_the_frame(
    head: np.ndarray, encode: Callable[..., bytes], landmarker: maskgen.Landmarker, cut: str
) -> None:
    face = landmarker.find(head)
    assert face is not None
    part, shift = {
        "left": (head[:, 75:], (75, 0)),  # the left eye is out
        "right": (head[:, :90], (0, 0)),  # the right eye is far out
        "bottom": (head[:122], (0, 0)),  # the mouth is out
    }[cut]
    box = face.box - (*shift, *shift)
    assert reason(encode(np.ascontiguousarray(part), "PNG"), landmarker, box)[0] == "cut_by_frame"


def test_a_chin_cut_by_the_frame_is_drawn_up_to_the_frame(
    head: np.ndarray, encode: Callable[..., bytes], landmarker: maskgen.Landmarker
) -> None:
    face = landmarker.find(head)
    assert face is not None
    made = sample(encode(head[:150], "PNG"), landmarker, face.box, size=0, colors="#ff0000", quality=100)
    assert made.landmarks[:, 1].max() >= 150
    assert made.landmarks[27:, 1].max() < 150
    for name in VARIANTS:
        np.testing.assert_allclose(pixels(made.pictures[name])[149, 92], (255, 0, 0), atol=6)


@pytest.mark.parametrize(
    "box", [(1e4, 1e4, 1.1e4, 1.1e4), (-500, -500, -400, -400), (0, 0, 0, 0), (-9e5, -9e5, 9e5, 9e5)]
)
def test_a_box_without_a_face_is_rejected_or_drawn_and_never_an_error(
    photograph: bytes, landmarker: maskgen.Landmarker, box: tuple[float, ...]
) -> None:
    try:
        sample(photograph, landmarker, box)
    except Rejected as rejected:
        words = rejected.reason
    else:
        words = "drawn"
    assert words in ("cut_by_frame", "not_frontal", "drawn")
    if max(map(abs, box)) > 400:
        assert words != "drawn"


def test_a_profile_face_is_rejected_and_never_drawn_wrong(
    photograph: bytes, landmarker: maskgen.Landmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = landmarker.find(maskgen.decode(photograph))
    assert face is not None
    turned = face.landmarks.copy()
    turned[13] = turned[3] - (1, 0)
    monkeypatch.setattr(maskgen.Landmarker, "predict", lambda self, grey, box: turned)
    word, detail = reason(photograph, landmarker)
    assert word == "not_frontal"
    assert detail.startswith("round_high: the jaw's right side")
    assert sample(photograph, landmarker, variants="wide_low").pictures, "what can be drawn is drawn"


def test_a_real_profile_face_has_no_face(shared: Path, landmarker: maskgen.Landmarker) -> None:
    data = (shared / "faces/n000001/0006_01.jpg").read_bytes()
    assert reason(data, landmarker)[0] == "no_face"


def test_a_picture_too_long_for_a_jpeg(
    head: np.ndarray, encode: Callable[..., bytes], landmarker: maskgen.Landmarker
) -> None:
    face = landmarker.find(head)
    assert face is not None
    long = np.zeros((180, 65_600, 3), np.uint8)
    long[:, :180] = head
    data = encode(long, "PNG", compress_level=1)
    assert reason(data, landmarker, face.box, size=0) == (
        "too_large",
        "65600 x 180 pixels do not fit into a JPEG; set --size",
    )
    assert sample(data, landmarker, face.box, size=64, fit="crop").width == 64
