"""Masks that look like masks: on the outline of the flat ones, in their colours, lit as the face is."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.dataset import identity
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging import cloth, fabric
from maskgen.imaging.outline import Undrawable, outline
from maskgen.imaging.render import coverage
from maskgen.imaging.styles import Style, draw, draw_each
from maskgen.imaging.textures import LARGEST, STORED_SIDE, read_textures, stored_texture
from maskgen.imaging.variants import VARIANTS
from maskgen.storage import lease
from tests.support import data_sets, faces, fuzz

BLUE = (60, 90, 200)


@pytest.fixture(scope="module")
def landmarks(head: np.ndarray, landmarker: maskgen.Landmarker) -> np.ndarray:
    face = landmarker.find(head)
    assert face is not None
    return face.landmarks


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two textures: left half red and right half green; and a green stripe along the top of a transparent ground."""
    folder = tmp_path_factory.mktemp("prints")
    halves = np.zeros((120, 160, 3), np.uint8)
    halves[:, :80], halves[:, 80:] = (220, 30, 30), (30, 200, 30)
    stripe = np.zeros((90, 90, 4), np.uint8)
    stripe[:30] = (30, 200, 30, 255)
    data_sets.write_tree(
        folder,
        {
            "halves.jpg": faces.encoded(halves, quality=98),
            "stripe.png": faces.encoded(stripe, "PNG"),
            "LICENCE.txt": b"mine",
            ".hidden.png": b"no picture",
        },
    )
    return folder


@pytest.fixture(scope="module")
def halves(prints: Path) -> tuple[maskgen.Texture, ...]:
    """The texture without transparent parts."""
    return tuple(texture for texture in read_textures(prints) if texture.levels[0][3, -1, -1] == 0)


def style_named(name: str, prints: Path, seed: int = 0) -> Style:
    return Style(name, seed, read_textures(prints) if name == "texture" else ())


@pytest.mark.parametrize("name", ["fabric", "texture"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_outline_is_that_of_the_flat_mask(
    name: str, variant: str, head: np.ndarray, landmarks: np.ndarray, prints: Path
) -> None:
    style = style_named(name, prints)
    for source in map(str, range(4)):
        masked = draw(head, landmarks, variant, BLUE, style, source).astype(int)
        polygon = outline(landmarks, variant)
        cover = coverage([polygon], *head.shape[1::-1])[0]
        share = np.zeros(head.shape[:2], np.uint8)
        share[cover.top :, cover.left :][: cover.share.shape[0], : cover.share.shape[1]] = cover.share
        # Another picture of the same brightness below it shows through only where the outline does not cover.
        tinted = np.clip(head + np.array((40, -20, 0)), 0, 255).astype(np.uint8)
        other = draw(tinted, landmarks, variant, BLUE, style, source)
        through = np.abs(masked[:, :, 0] - other[:, :, 0]) > 15
        inside = cv2.erode(share, np.ones((5, 5), np.uint8)) == 255
        assert not through[inside].any()
        # Outside, only its surroundings and the way to the ears change.
        changed = np.abs(masked - head).max(axis=2) > 0
        reach = max(1, round(np.ptp(polygon[:, 0]) * cloth.REACH)) + 2
        near = cv2.dilate((share > 0).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
        hull = cv2.convexHull(np.concatenate([polygon, landmarks[:17]]).astype(np.float32))
        to_ears = cv2.fillConvexPoly(np.zeros_like(share), np.rint(hull).astype(np.int32), 1)
        margin = round(0.05 * np.ptp(landmarks[:17, 0])) + 2
        to_ears = cv2.dilate(to_ears, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0
        assert not changed[~near & ~to_ears].any()
        sides = changed & ~near
        assert sides.sum() < 0.02 * share.size  # straps are thin


def test_a_mask_has_the_colour_that_was_drawn(head: np.ndarray, landmarks: np.ndarray) -> None:
    polygon = outline(landmarks, "wide_high")
    inside = cv2.fillPoly(np.zeros(head.shape[:2], np.uint8), [np.rint(polygon).astype(np.int32)], 1)
    inside = cv2.erode(inside, np.ones((9, 9), np.uint8)) > 0
    for color in ((200, 16, 32), (16, 180, 40), (30, 60, 220), (128, 128, 128)):
        for source in "abcd":
            mean = draw(head, landmarks, "wide_high", color, Style("fabric"), source)[inside].mean(axis=0)
            np.testing.assert_allclose(mean, np.array(color) * 0.88 + 16, atol=30)
            np.testing.assert_array_equal(np.argsort(mean), np.argsort(color)) if len(set(color)) == 3 else None


def test_light_is_measured_in_the_face(head: np.ndarray, landmarks: np.ndarray) -> None:
    points = landmarks.tolist()
    jaw, middle = landmarks[1:16], round(float(landmarks[30, 0]))

    def lit(grey: np.ndarray) -> np.ndarray:
        return cloth.light(np.repeat(grey[:, :, None], 3, axis=2), points).on(0, 0, *grey.shape[::-1])

    grey = np.full(head.shape[:2], 90, np.uint8)
    np.testing.assert_array_equal(lit(grey), 128)
    np.testing.assert_array_equal(lit(np.zeros_like(grey)), 128)
    # What is beside the face does not count, but for blocks at its edge.
    beside = cv2.fillPoly(np.ones_like(grey), [np.rint([*jaw, landmarks[27]]).astype(np.int32)], 0) > 0
    grey[beside] = 255
    np.testing.assert_allclose(lit(grey), 128, atol=3)
    # 60 / 90 is a third less than the mean, of which 0.85 remain: 128 x 0.7167; and as much more on the other side.
    grey[:, :middle], grey[:, middle:] = 60, 120
    y = round(float(landmarks[3, 1]))
    row = lit(grey)[y].astype(int)
    assert row[round(float(jaw[:, 0].min()))] == pytest.approx(92, abs=6)
    assert row[round(float(jaw[:, 0].max()))] == pytest.approx(164, abs=6)
    assert (np.diff(row) >= 0).all()


def test_light_is_the_same_for_any_part_of_the_photograph() -> None:
    map_ = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = cloth.Light(map_, 5, 7)
    np.testing.assert_array_equal(found.on(6, 8, 2, 2), [[5, 6], [9, 10]])
    np.testing.assert_array_equal(found.on(4, 6, 3, 2), [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(found.on(8, 9, 3, 3), np.full((3, 3), 11))
    np.testing.assert_array_equal(found.on(90, 90, 1, 2), [[11], [11]])


def test_light_falls_on_the_cloth(head: np.ndarray, landmarks: np.ndarray) -> None:
    ramp = np.linspace(60, 200, head.shape[1]).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], head.shape).copy()
    sides = (picture, picture[:, ::-1].copy())
    one, other = (draw(image, landmarks, "wide_high", (128,) * 3, Style("fabric"), "a") for image in sides)
    x, y = landmarks[4].astype(int) + np.array((12, -4))
    assert int(one[y, x, 0]) + 25 < int(other[y, x, 0])


def test_the_place_on_the_cloth_turns_with_the_head(landmarks: np.ndarray) -> None:
    points = landmarks.astype(np.float64)
    turn = cv2.getRotationMatrix2D((90, 90), 30, 1)
    turned = points @ turn[:, :2].T + turn[:, 2]
    polygon = outline(points, "wide_high")
    picture = np.zeros((180, 180, 3), np.uint8)
    both = (
        cloth.frame(polygon, cloth.face_of(picture, points)),
        cloth.frame(polygon @ turn[:, :2].T + turn[:, 2], cloth.face_of(picture, turned)),
    )
    ramp = np.tile((np.arange(256) * np.ones((256, 1))).astype(np.uint8)[:, :, None], (1, 1, 2))
    ramp[:, :, 1] = ramp[:, :, 0].T
    places = [cloth.warped(ramp, one, 0, 0, 180, 180) / 255 for one in both]
    (u, v), (u2, v2) = (np.moveaxis(one, 2, 0) for one in places)
    mirrored = cloth.warped(ramp, both[0], 0, 0, 180, 180, True)[:, :, 0] / 255
    np.testing.assert_allclose(mirrored, 1 - u, atol=2 / 255)
    for x, y in ((80, 120), (95, 110), (90, 140), (70, 115)):
        x2, y2 = np.rint(turn[:, :2] @ (x, y) + turn[:, 2]).astype(int)
        assert abs(u[y, x] - u2[y2, x2]) < 0.03
        assert abs(v[y, x] - v2[y2, x2]) < 0.03
    nose, chin = points[33], points[8]
    assert abs(u[int(nose[1]), int(nose[0])] - 0.5) < 0.03
    assert v[int(chin[1]), int(chin[0])] == pytest.approx(1, abs=0.1)
    assert v[int(points[27, 1]) + 3, int(points[27, 0])] < 0.15


def test_a_texture_lies_upright_and_shows_the_cloth_where_it_is_transparent(
    head: np.ndarray, landmarks: np.ndarray, prints: Path, halves: tuple[maskgen.Texture, ...]
) -> None:
    printed = draw(head, landmarks, "wide_medium", BLUE, Style("texture", textures=halves), "a").astype(int)
    nose, jaw = landmarks[33].astype(int), landmarks[8].astype(int)
    y = (nose[1] + jaw[1]) // 2
    left, right = printed[y, nose[0] - 15], printed[y, nose[0] + 15]
    assert left[0] > 2 * left[1]  # red
    assert right[1] > 2 * right[0]  # green
    stripe = tuple(texture for texture in read_textures(prints) if texture not in halves)
    printed = draw(head, landmarks, "wide_medium", BLUE, Style("texture", textures=stripe), "a").astype(int)
    top, low = printed[nose[1] - 2, nose[0] + 12], printed[jaw[1] - 12, nose[0]]
    assert top[1] > 1.5 * top[2]  # green
    assert low[2] > 1.5 * low[1]  # the blue cloth


@pytest.mark.parametrize("name", ["fabric", "texture"])
def test_a_mask_follows_from_seed_source_and_variant_alone(
    name: str, head: np.ndarray, landmarks: np.ndarray, prints: Path
) -> None:
    style = style_named(name, prints)
    outlines = [outline(landmarks, variant) for variant in VARIANTS]
    before = head.copy()
    six = [one.copy() for one in draw_each(head, landmarks, VARIANTS, outlines, [BLUE] * 6, style, "a")]
    np.testing.assert_array_equal(head, before)
    for variant, one in zip(VARIANTS, six, strict=True):
        np.testing.assert_array_equal(one, draw(head, landmarks, variant, BLUE, style, "a"))
    copy = pickle.loads(pickle.dumps(style))
    np.testing.assert_array_equal(six[0], draw(head, landmarks, "wide_high", BLUE, copy, "a"))
    sources = {draw(head, landmarks, "wide_high", BLUE, style, str(n)).tobytes() for n in range(12)}
    seeds = {draw(head, landmarks, "wide_high", BLUE, style_named(name, prints, n), "a").tobytes() for n in range(12)}
    assert min(len(sources), len(seeds)) > 4


def test_every_look_is_drawn_and_no_map_is_flat() -> None:
    drawn = [Style("fabric").cloth(str(n), "wide_high", BLUE, 100).shade for n in range(400)]
    maps = [fabric.shading(look, number) for look in fabric.LOOKS for number in range(fabric.VARIATIONS)]
    assert {id(one) for one in drawn} == {id(one) for one in maps}
    for one in [*maps, fabric.shading("plain", 0)]:
        assert 100 < one.mean() < 145
        assert one.std() > 4


def test_landmarks_that_are_no_numbers_end(head: np.ndarray, landmarks: np.ndarray) -> None:
    points = landmarks.astype(np.float64)
    points[[0, 5, 30, 36]] = np.nan, np.inf
    masked = draw(head, points, "round_high", BLUE, Style("fabric"))
    assert (masked != head).any()


def test_hostile_landmarks_end(head: np.ndarray, prints: Path) -> None:
    generator = np.random.default_rng(0)
    for scale in (0.0, 1.0, 300.0, 99_000.0):
        for _ in range(max(2 // fuzz.PARTS, 1)):
            points = generator.uniform(-scale, scale, (68, 2)).astype(np.float32)
            for variant in VARIANTS:
                for style in (Style("fabric"), style_named("texture", prints)):
                    try:
                        masked = draw(head, points, variant, BLUE, style)
                    except Undrawable:
                        continue
                    assert masked.shape == head.shape


def recoded(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


@pytest.mark.parametrize("variants", ["all", pytest.param("random", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["fabric", "texture"])
def test_both_stores_and_any_engine_give_the_same_pixels(
    name: str, variants: str, tree: Path, tmp_path: Path, prints: Path, make: Callable[..., Path], hashes: Any
) -> None:
    chosen: dict[str, Any] = {"style": name, "variants": variants, "textures": prints if name == "texture" else None}
    if variants == "all":  # two people
        chosen["limit"] = 12
    rendered = make(tree, tmp_path / "rendered", format="both", **chosen)
    recipe = make(tree, tmp_path / "recipe", store="recipe", format="webdataset", **chosen)
    drawn = 0
    for one, other in zip(maskgen.open(rendered), maskgen.open(recipe), strict=True):
        for picture, image in other.images().items():
            if picture != "unmasked":
                assert recoded(image) == one.jpeg(picture)
                drawn += 1
    assert drawn == (10 * 6 if variants == "all" else 27)
    if variants == "random":
        parallel = make(tree, tmp_path / "parallel", format="both", engine="joblib", workers=2, **chosen)
        assert hashes(parallel) == hashes(rendered)
        flat = make(tree, tmp_path / "flat", format="both", variants=variants)
        for one, other in zip(maskgen.open(flat), maskgen.open(rendered), strict=True):
            assert one.facts() == other.facts()  # the style is the only difference
            assert one.jpeg("unmasked") == other.jpeg("unmasked")
            assert one.jpeg("masked") != other.jpeg("masked")


def test_flat_is_no_new_setting(tree: Path, built: Path, tmp_path: Path, make: Callable[..., Path], info: Any) -> None:
    made = make(tree, tmp_path / "flat", format="both", style="flat")
    assert info(made)["fingerprint"] == info(built)["fingerprint"]
    assert info(made)["content"] == info(built)["content"]
    assert not {"style", "textures"} & info(made)["settings"].keys()
    assert "style" not in (made / "README.md").read_text()


def test_textures_count_by_their_content(
    tree: Path, tmp_path: Path, prints: Path, make: Callable[..., Path], info: Any
) -> None:
    def fingerprint(folder: Path) -> str:
        out = make(
            tree, tmp_path / f"out-{folder.name}", style="texture", textures=folder, limit=2, variants="wide_low"
        )
        assert "; style: texture" in (out / "README.md").read_text()
        assert json.loads((out / "run.json").read_bytes())["command"]["textures"] == folder.name
        assert info(out)["settings"]["textures"] == sorted(path.stem for path in (out / "__textures").iterdir())
        return info(out)["fingerprint"]

    data = {path.name: path.read_bytes() for path in prints.iterdir()}
    first = fingerprint(data_sets.write_tree(tmp_path / "a", data))
    renamed = {f"x{name}": value for name, value in data.items() if name[0] != "."}
    assert fingerprint(data_sets.write_tree(tmp_path / "b", renamed | {"again.png": data["stripe.png"]})) == first
    fewer = {name: value for name, value in data.items() if name != "stripe.png"}
    assert fingerprint(data_sets.write_tree(tmp_path / "c", fewer)) != first


def test_textures_travel_to_an_object_store(
    s3: Any, tree: Path, tmp_path: Path, prints: Path, make: Callable[..., Path], hashes: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(lease, "SETTLE", 0.1)
    chosen = {"style": "texture", "textures": prints, "store": "recipe", "limit": 6}
    place = f"{s3.bucket()}/smfd"
    make(tree, s3.uri(place), **chosen)
    assert s3.hashes(place) == hashes(make(tree, tmp_path / "smfd", **chosen))
    for here, there in zip(maskgen.open(tmp_path / "smfd"), maskgen.open(s3.uri(place)), strict=True):
        np.testing.assert_array_equal(here.image("round_high"), there.image("round_high"))
    make(tree, s3.uri(place), limit=6, overwrite=True)
    assert not any(name.startswith("__textures") for name in s3.objects(place))


@pytest.fixture
def textured(tree: Path, tmp_path: Path, prints: Path, make: Callable[..., Path]) -> Path:
    return make(tree, tmp_path / "smfd", style="texture", textures=prints, store="recipe", limit=8)


@pytest.mark.parametrize("damage", ["missing", "other", "empty", "large"])
def test_a_damaged_texture_is_named_and_built_again(
    damage: str, textured: Path, tree: Path, prints: Path, make: Callable[..., Path], hashes: Any
) -> None:
    before = hashes(textured)
    maskgen.verify(textured)
    path = sorted((textured / "__textures").iterdir())[0]
    other = {"other": faces.encoded(np.zeros((20, 20), np.uint8), "PNG"), "empty": b"", "large": faces.black_png(9_500)}
    path.unlink() if damage == "missing" else path.write_bytes(other[damage])
    elsewhere = textured.with_name("elsewhere")
    shutil.copytree(textured, elsewhere)  # a folder that this process has not read yet
    for call in (lambda: maskgen.verify(elsewhere), lambda: maskgen.open(elsewhere)[0].image("wide_high")):
        with pytest.raises(MaskgenError, match=rf"{path.name} (is missing|cannot be used).*; run the same"):
            call()
    assert len(list(maskgen.open(elsewhere).rows(images=()))) == len(maskgen.open(elsewhere))
    make(tree, textured, style="texture", textures=prints, store="recipe", limit=8)
    assert hashes(textured) == before


def test_a_strange_file_that_is_no_texture_is_refused() -> None:
    large = np.zeros((8, STORED_SIDE + 1, 4), np.uint8)
    jpeg = faces.encoded(np.zeros((20, 20, 3), np.uint8))
    bomb = faces.black_png(9_500)
    assert len(bomb) < 200_000
    for data, words in (
        (bomb, "too_large"),
        (faces.encoded(large, "PNG"), "no PNG"),
        (jpeg, "no PNG"),
        (b"\x89PNG", "not_an_image"),
    ):
        with pytest.raises(ValueError, match=words):
            stored_texture(data)


def test_overwrite_removes_our_textures_and_nothing_else(textured: Path, tree: Path, make: Callable[..., Path]) -> None:
    (textured / "__textures/notes.txt").write_text("mine")
    make(tree, textured, limit=8, overwrite=True)
    assert [path.name for path in (textured / "__textures").iterdir()] == ["notes.txt"]
    (textured / "__textures/notes.txt").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"style": "../x"}, "its style is unknown"),
        ({"style": ["fabric"]}, "its style is unknown"),
        ({"textures": ["../../x"]}, "its textures are not hashes"),
        ({"textures": "a" * 64}, "its textures are not hashes"),
        ({"textures": []}, "its textures are not those of its style"),
        ({"textures": ["a" * 64] * 2}, "its textures are not those of its style"),
        ({"style": "fabric"}, "its textures are not those of its style"),
        ({"seed": "x" * 100}, "its seed is not a number"),
        ({"seed": 10**40}, "its seed is not a number"),
    ],
)
def test_hostile_settings_of_a_style_are_refused(change: dict[str, Any], words: str, textured: Path) -> None:
    facts = json.loads((textured / "dataset.json").read_bytes())
    facts["settings"].update(change)
    facts["fingerprint"] = identity.fingerprint({name: facts[name] for name in identity.DESCRIPTION})
    (textured / "dataset.json").write_text(json.dumps(facts))
    with pytest.raises(MaskgenError, match=words):
        maskgen.open(textured)


def one_colour(width: int, height: int, *, alpha: int = 255) -> bytes:
    return faces.encoded(np.full((height, width, 4), (200, 100, 50, alpha), np.uint8), "PNG")


BAD = {
    "no picture": ({"readme.txt": b"text"}, "has no picture in it; put .png"),
    "a text": ({"a.png": b"this is a text"}, r"a\.png is no picture that can be used \(not_an_image.*; replace it"),
    "empty": ({"a.jpg": b""}, r"a\.jpg is no picture that can be used \(empty.*; replace it"),
    "truncated": ({"a.png": one_colour(64, 64)[:-40]}, r"a\.png is no picture that can be used \(damaged"),
    "transparent": ({"a.png": one_colour(64, 64, alpha=0)}, r"a\.png is fully transparent; draw something on it"),
    "1 x 1": ({"a.png": one_colour(1, 1)}, r"a\.png is 1 x 1 pixels; make it at least 16 a side"),
    "20,000 px": (
        {"a.png": one_colour(20_000, 20)},
        rf"a\.png is 20000 x 20 pixels; make it at most {LARGEST:,} a side",
    ),
    "a bomb": (
        {"a.png": faces.black_png(10_000)},
        r"a\.png is no picture that can be used \(too_large.*; make it smaller",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_texture_is_one_sentence(case: str, tree: Path, tmp_path: Path) -> None:
    files, words = BAD[case]
    folder = data_sets.write_tree(tmp_path / "prints", {"ok.gif": b"ignored", **files})
    with pytest.raises(UsageError, match=words):
        read_textures(folder)
    call = ["build", "--src", str(tree), "--out", str(tmp_path / "smfd"), "--style", "texture", "--textures"]
    result = CliRunner().invoke(maskgen_command, [*call, str(folder)])
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "smfd").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--style", "texture"], "--style texture needs pictures; give their folder with --textures DIR"),
        (["--textures", "x"], "--textures is not used with --style flat; leave it out"),
        (["--style", "fabric", "--textures", "x"], "--textures is not used with --style fabric"),
        (["--style", "texture", "--textures", "none"], "cannot be read .No such file or directory.; give a folder"),
    ],
)
def test_options_that_do_not_fit(options: list[str], words: str, tree: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        maskgen_command, ["build", "--src", str(tree), "--out", str(tmp_path / "out"), *options]
    )
    assert result.exit_code == 2
    assert words.replace(".", "") in result.output.replace("(", "").replace(")", "").replace(".", "")


def test_a_texture_is_kept_small_with_its_aspect(tmp_path: Path) -> None:
    folder = data_sets.write_tree(tmp_path, {"a.png": one_colour(2048, 1024)})
    (texture,) = read_textures(folder)
    assert [level.shape for level in texture.levels] == [(4, 256, 512), (4, 128, 256), (4, 64, 128), (4, 32, 64)]
    np.testing.assert_array_equal(texture.levels[0][:, 0, 0], (200, 100, 50, 0))
    assert texture.level(100).shape == (4, 64, 128)
    with pytest.raises(ValueError, match="the style texture needs textures"):
        Style("texture")
    with pytest.raises(ValueError, match="no style 'felt'"):
        Style("felt")


def test_preview_shows_a_row_of_each_style(tree: Path, built: Path, prints: Path, tmp_path: Path) -> None:
    call = ["preview", str(tree / "ann/0000_01.jpg"), "-o", str(tmp_path / "sheet.png")]
    styles = ["--style", "flat", "--style", "fabric", "--style", "texture", "--textures", str(prints)]
    result = CliRunner().invoke(maskgen_command, [*call, *styles])
    assert result.exit_code == 0, result.output
    with PillowImage.open(tmp_path / "sheet.png") as sheet:
        three = np.asarray(sheet)
    assert CliRunner().invoke(maskgen_command, call).exit_code == 0
    with PillowImage.open(tmp_path / "sheet.png") as sheet:
        one = np.asarray(sheet)
    strip = len(one) - 32
    assert three.shape == (32 + 3 * strip, one.shape[1], 3)
    masks = [three[24 + n * strip : 24 + n * strip + 224, 8 + 232 :] for n in range(3)]
    np.testing.assert_array_equal(masks[0], one[24 : 24 + 224, 8 + 232 :])
    assert all((masks[0] != other).any() for other in masks[1:])
    for options, words in ((styles[:4] + styles[6:], "with --style texture only"), (styles[:6], "needs pictures")):
        result = CliRunner().invoke(maskgen_command, [*call, *options])
        assert (result.exit_code, words in result.output) == (2, True)
    result = CliRunner().invoke(maskgen_command, ["preview", str(built), "--style", "fabric"])
    assert (result.exit_code, "leave out --color" in result.output) == (2, True)
