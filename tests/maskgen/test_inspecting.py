"""`maskgen inspect --html`: what the page of a data set says, of good, strange, unfinished and damaged ones."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.imaging.variants import VARIANTS
from maskgen.inspecting import duplicates as duplicates_module
from maskgen.inspecting import figures, shapes, spacing
from maskgen.inspecting import sample as sample_module
from maskgen.inspecting.contents import contents
from maskgen.inspecting.inspect import inspect
from maskgen.inspecting.rebuild import command
from maskgen.inspecting.sample import sample
from maskgen.inspecting.spacing import runs_of, spaced
from tests.support.browser import WIDTHS, Browser, check_look, column, overhang, tab_to, violations

NAMES = ("<script>window.foreign = 1</script>", "a\"b'c & d", "\u202eabc\u05d0\u05d1", "two\nlines")
"""Identities that try all a folder's name can."""


def head_of(yaw: float, roll: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """68 points of a head in space, seen from far away after it was turned: only eyes and nose are where they must."""
    chance = np.random.default_rng(5)
    points = np.c_[chance.uniform(-1, 1, (68, 2)), chance.uniform(-0.3, 0.3, 68)]
    points[shapes.RIGHT_EYE], points[shapes.LEFT_EYE] = (-1, 0, 0), (1, 0, 0)
    points[shapes.NOSE] = (0, 0.8, shapes.NOSE_DEPTH)
    turn, lean = np.radians([yaw, roll])
    x = points[:, 0] * np.cos(turn) + points[:, 2] * np.sin(turn)
    seen = np.c_[x * np.cos(lean) - points[:, 1] * np.sin(lean), x * np.sin(lean) + points[:, 1] * np.cos(lean)]
    return (100 + scale * 30 * seen).astype(np.float32)


@pytest.mark.parametrize("yaw", [-50.0, -10.0, 0.0, 35.0])
@pytest.mark.parametrize("roll", [-20.0, 0.0, 75.0])
def test_roll_and_yaw_are_those_by_which_a_head_was_turned(yaw: float, roll: float) -> None:
    found = shapes.pose(head_of(yaw, roll, 2.0)[None])
    assert found.roll[0] == pytest.approx(roll, abs=1e-3)
    assert found.yaw[0] == pytest.approx(yaw, abs=1e-3)
    assert found.eyes[0] == pytest.approx(2 * 60 * np.cos(np.radians(yaw)), rel=1e-5)


def test_a_face_without_extent_has_no_pose_and_no_shape() -> None:
    landmarks = np.stack([head_of(0), np.full((68, 2), 7, np.float32)])
    assert np.isnan(shapes.pose(landmarks).yaw).tolist() == [False, True]
    assert np.isnan(shapes.pose(landmarks).roll).tolist() == [False, True]
    assert np.isnan(shapes.unusual(landmarks)[0]).tolist() == [False, True]


def test_moving_turning_and_scaling_a_shape_does_not_make_it_unusual() -> None:
    landmarks = np.stack([head_of(0, roll, scale) + np.float32(roll) for roll, scale in ((0, 1), (40, 3), (-170, 0.5))])
    found, directions = shapes.unusual(landmarks)
    assert directions == 0
    assert found == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_distance_of_a_shape_is_that_of_scipy() -> None:
    """Of two shapes, the mean lies halfway: each is as far from it, by `scipy.spatial.procrustes`."""
    from scipy.spatial import procrustes

    chance = np.random.default_rng(1)
    first = head_of(0)
    second = first + chance.normal(0, 2, first.shape).astype(np.float32)
    found, _ = shapes.unusual(np.stack([first, second]))
    *_, disparity = procrustes(first, second)
    # The squared sine of the angle between unit shapes; the mean halves the angle.
    half = np.sin(np.arcsin(np.sqrt(disparity)) / 2)
    unit = (first - first.mean(0)) / np.linalg.norm(first - first.mean(0))
    eyes = np.linalg.norm(unit[shapes.LEFT_EYE] - unit[shapes.RIGHT_EYE])
    assert found == pytest.approx([half / np.sqrt(68) / eyes] * 2, rel=0.05)


def test_wrong_landmarks_are_unusual_and_turned_heads_are_not() -> None:
    turned = [head_of(yaw) for yaw in np.linspace(-40, 40, 119)]
    wrong = head_of(0)
    wrong[48:60] += 12
    found, directions = shapes.unusual(np.stack([*turned, wrong]))
    assert directions == 5
    assert found.argmax() == 119
    assert found[119] > 10 * found[:119].max()


def test_a_sample_is_spread_over_all_rows_and_always_the_same() -> None:
    assert runs_of(5, 5) == [0, 1, 2, 3, 4]
    assert runs_of(100, 16) == runs_of(100, 17) == [*range(8), *range(92, 100)]
    assert runs_of(100, 3) == [0, 1, 2]
    assert runs_of(100, 0) == []
    found = runs_of(10_000, 200)
    assert len(found) == 200
    assert (found[0], found[-1]) == (0, 9_999)
    assert spaced(10, 3) == [0, 4, 9]
    assert spaced(3, 10) == [0, 1, 2]
    assert spaced(5, 1) == [0]


def test_bars_count_every_value() -> None:
    made = figures.histogram([*range(100), 10_000, float("nan")], "x", "y")
    assert sum(bar[2] for bar in made["bars"]) == 101
    assert made["bars"][-1][1] < 10_001
    whole = figures.histogram([1, 1, 1, 2, 4], "x", "y", whole=True)
    assert whole["bars"] == [[0.5, 1.5, 3], [1.5, 2.5, 1], [2.5, 3.5, 0], [3.5, 4.5, 1]]
    assert figures.histogram([], "x", "y")["bars"] == []
    assert figures.histogram([3.0], "x", "y")["bars"] == [[2.5, 3.5, 1]]
    assert figures.spread([-0.01] * 9, "°") == "Median 0.0°; nine of ten from 0.0 to 0.0°."


def test_few_colours_are_exact_and_many_share_their_mean() -> None:
    assert figures.swatches([(255, 0, 0), (0, 0, 16), (255, 0, 0)]) == ([("#ff0000", 2), ("#000010", 1)], 2, False)
    shades = [(level, 0, 0) for level in range(40)]
    assert figures.swatches(shades) == ([("#140000", 40)], 40, True)  # the mean of 0..39, 19.5, to even


def test_the_command_that_builds_it_again_has_every_setting_of_its_own(built: Path, info: Callable) -> None:
    made = info(built)["settings"]
    assert command(made, "some where", "smfd").split(" \\\n  ") == [
        "maskgen build", "--src 'some where'", "--out smfd", "--format both", "--size 96", "--test-identities 0.4",
        "--shard-size 5",
    ]  # fmt: skip
    drawn = {**made, "variants": "random", "draws": True, "detector": "hog", "follow-links": True, "seed": 7}
    text = command(drawn, "a", "b")
    assert "--draws FILE" in text
    assert "--follow-links" in text
    assert "--seed 7" in text
    assert "--variants" not in text
    assert "--detector" not in text


@pytest.fixture(scope="module")
def doubled(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source with hostile names, one photograph of which is there four times: within an identity and across."""
    folder = tmp_path_factory.mktemp("doubled")
    photographs = sorted((tree / "dee").iterdir())
    for place, name in enumerate(NAMES):
        (folder / "src" / name).mkdir(parents=True)
        shutil.copy(photographs[place], folder / "src" / name / "own.jpg")
        shutil.copy(photographs[4], folder / "src" / name / "same.jpg")
    shutil.copy(photographs[0], folder / "src" / NAMES[0] / "again.jpg")
    (folder / "src" / NAMES[1] / "bad.jpg").write_bytes(b"text")
    shutil.copy(tree / "cyd" / "0004_01.jpg", folder / "src" / NAMES[1] / "grey.jpg")
    return make(folder / "src", folder / "smfd", test_identities=0.5, variants="wide_low,round_high").parent


def test_equal_photographs_are_found_wherever_they_are(doubled: Path) -> None:
    there = contents(str(doubled / "smfd"))
    measured = sample(there, 1000)
    groups, uncompared = duplicates_module.duplicates(measured)
    found = [
        (sorted(measured.rows[number].source.rpartition("/")[2] for number in group.numbers), group.where(measured))
        for group in groups
    ]
    assert sorted(found) == [(["again.jpg", "own.jpg"], "within an identity"), (["same.jpg"] * 4, "across splits")]
    assert uncompared == 0


def test_equal_landmarks_alone_are_no_duplicate(doubled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = sample(contents(str(doubled / "smfd")), 1000)
    monkeypatch.setattr(duplicates_module, "_facts", lambda row: b"")
    groups, _ = duplicates_module.duplicates(measured)
    assert sorted(len(group.numbers) for group in groups) == [2, 4]


@pytest.fixture(scope="module")
def shown_page(doubled: Path) -> Path:
    """Its page, written by the command."""
    out = doubled / "page.html"
    call = ["inspect", str(doubled / "smfd"), "--html", "-o", str(out), "--src", str(doubled / "src")]
    result = CliRunner().invoke(maskgen_command, call)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r".*page.html shows .*smfd, 0\.\d MB; open it in a browser\.\n", result.output)
    return out


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_quiet_fits_and_is_accessible(browser: Browser, shown_page: Path, width: int) -> None:
    with browser.page(shown_page, width) as page:
        check_look(page, f"inspect-{width}")
        assert page.evaluate("window.foreign") is None


def test_the_page_says_what_the_data_set_holds(browser: Browser, shown_page: Path) -> None:
    with browser.page(shown_page) as page:
        text = page.locator("body").inner_text()
        assert "9 of 11 photographs of the source, of 4 identities; masks: wide_low, round_high." in text
        assert "2 photographs rejected; 2 photographs found more than once, 1 across identities or splits." in text
        assert column(page, "#rejects ~ .scroll", 0)[:2] == ["no_face", "not_an_image"]
        # The text cannot be decoded, so only the grey photograph is shown.
        assert page.locator(".examples img").count() == 1
        assert page.locator("#gallery ~ .gallery img").count() == 3 * 8
        for kind in ("eyes", "roll", "yaw", "identities", "shapes", "covered"):
            assert page.locator(f"#{kind} svg").count() == 1, kind
        bars = page.evaluate("page.data.histograms.identities.bars")
        assert sum(count for _, _, count in bars) == 4
        tab_to(page, "#shards ~ .scroll thead th:nth-child(3) button")
        page.keyboard.press("Enter")
        rows = [int(text) for text in column(page, "#shards ~ .scroll", 2)]
        assert rows == sorted(rows)
        assert sum(rows) == 9


def test_every_picture_of_the_page_can_be_seen(browser: Browser, shown_page: Path) -> None:
    with browser.page(shown_page) as page:
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        assert page.evaluate("[...document.images].filter(image => image.naturalWidth < 90).length") == 0


def test_a_printed_page_holds_all_of_it(browser: Browser, shown_page: Path) -> None:
    with browser.page(shown_page, 800, printed=True) as page:
        assert overhang(page) == []


def test_the_same_data_set_gives_the_same_bytes(doubled: Path) -> None:
    assert inspect(str(doubled / "smfd")) == inspect(str(doubled / "smfd"))


def test_without_pictures_no_face_is_in_the_page(doubled: Path) -> None:
    text = inspect(str(doubled / "smfd"), src=str(doubled / "src"), with_pictures=False)
    assert "data:image" not in text
    assert "Pictures were left out" in text


def test_the_covered_shares_are_those_of_the_rows(doubled: Path) -> None:
    data = data_of(inspect(str(doubled / "smfd"), with_pictures=False))
    rows = list(maskgen.open(doubled / "smfd").rows(images=()))
    for name in ("wide_low", "round_high"):
        assert data["covered"][name] == [round(100 * row.covered(name), 1) for row in rows]


def data_of(text: str) -> Any:
    return json.loads(re.findall(r'id="page-data">(.*?)</script>', text, re.S)[0])


@pytest.mark.parametrize("settings", [{"format": "webdataset"}, {"store": "recipe"}, {"variants": "random"}])
def test_every_kind_of_data_set_has_a_page(
    tree: Path, make: Callable[..., Path], tmp_path: Path, settings: dict[str, str]
) -> None:
    for name in ("ann", "bob"):
        shutil.copytree(tree / name, tmp_path / "src" / name)
    out = make(tmp_path / "src", tmp_path / "smfd", **settings)
    text, rows = inspect(str(out)), list(maskgen.open(out).rows(images=()))
    assert f"{len(rows)} of 12 photographs" in text
    gallery = re.findall(r'<ul class="gallery" aria-label="([^"]+)">(.*?)</ul>', text, re.S)
    shown_of = {name: found.count('src="data:image/jpeg') for name, found in gallery}
    if "variants" in settings:
        worn = Counter(str(row.variant) for row in rows)
        assert shown_of == {name: min(count, 8) for name, count in worn.items()}
    else:
        assert shown_of == dict.fromkeys(("unmasked", *VARIANTS), min(len(rows), 8))


def test_one_photograph_is_enough_for_a_page(tree: Path, make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "src" / "ann").mkdir(parents=True)
    shutil.copy(tree / "ann" / "0000_01.jpg", tmp_path / "src" / "ann")
    text = inspect(str(make(tmp_path / "src", tmp_path / "smfd")))
    assert "1 of 1 photograph of the source, of 1 identity;" in text
    assert "No photograph was rejected." in text


def test_a_data_set_of_rejects_alone_has_a_page(browser: Browser, make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "src" / "ann").mkdir(parents=True)
    (tmp_path / "src" / "ann" / "1.jpg").write_bytes(b"text")
    out = make(tmp_path / "src", tmp_path / "smfd")
    page = tmp_path / "page.html"
    page.write_text(inspect(str(out)), encoding="utf-8")
    with browser.page(page, 360) as shown:
        assert violations(shown) == []
        assert "0 of 1 photograph of the source, of 0 identities;" in shown.locator("body").inner_text()


def test_people_and_their_photographs_are_counted_as_in_the_rows(built: Path) -> None:
    there, rows = contents(str(built)), list(maskgen.open(built).rows(images=()))
    assert there.identities() == Counter((row.split, row.identity) for row in rows)
    plan = pq.read_table(built / "plan.parquet").to_pylist()
    assert there.people() == {
        split: {row["identity"] for row in plan if row["split"] == split} for split in ("train", "val", "test")
    }


def test_examples_are_rejects_of_each_reason_with_their_rows_of_the_plan(built: Path) -> None:
    there = contents(str(built))
    plan = {row["key"]: row for row in pq.read_table(built / "plan.parquet").to_pylist()}
    rejects = {reject["key"]: reject for part in there.parts for reject in part.rejects}
    every = {row["key"]: row for row in there.examples(99, 99)}
    assert every.keys() == rejects.keys()
    for key, row in every.items():
        assert (row["source"], row["bytes"]) == (plan[key]["source"], plan[key]["bytes"])
        assert (row["reason"], row["detail"]) == (rejects[key]["reason"], rejects[key]["detail"])
    few = there.examples(2, 1)
    assert [row["reason"] for row in few] == [
        reason for reason, _ in sorted(there.reasons.items(), key=lambda item: (-item[1], item[0]))[:2]
    ]


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "smfd"))


def states(out: Path) -> dict[str, str]:
    found = contents(str(out))
    measured = sample(found, 1000)
    return {part.name: measured.broken.get(part.name, part.state) for part in found.parts}


def test_the_state_of_a_shard_says_what_is_wrong(copied: Path) -> None:
    whole = states(copied)
    assert set(whole.values()) == {"whole"}
    first, second, third, fourth, fifth = list(whole)[:5]
    split, index = first.split("/")
    (copied / "__markers" / f"{split}-{index}.json").unlink()
    (copied / "__markers" / f"{second.replace('/', '-')}.json").write_text("{")
    (copied / f"{third}.parquet").unlink()
    with (copied / f"{fourth}.parquet").open("ab") as file:
        file.write(b"x")
    data = bytearray((copied / f"{fifth}.parquet").read_bytes())
    data[-4:] = b"xxxx"
    (copied / f"{fifth}.parquet").write_bytes(data)
    found = states(copied)
    assert found[first] == "its marker is missing"
    assert found[second].startswith("its marker is damaged (")
    assert found[third] == f"its file {third.partition('/')[2]}.parquet is missing"
    assert re.fullmatch(r"its file \d+\.parquet has [\d,]+ bytes instead of [\d,]+", found[fourth])
    assert "cannot be read" in found[fifth]
    assert {name: state for name, state in found.items() if state != "whole"}.keys() == {
        first, second, third, fourth, fifth,
    }  # fmt: skip
    text = inspect(str(copied))
    assert f"5 of {len(whole)} shards cannot be used; see Shards." in text


def test_an_unfinished_build_has_a_page(copied: Path, info: Callable) -> None:
    said = info(copied)
    last = sorted((copied / "__markers").iterdir())[-1]
    marker = json.loads(last.read_bytes())
    last.unlink()
    for name in ("complete", "content", "counts"):
        said.pop(name)
    (copied / "dataset.json").write_text(json.dumps(said))
    text = inspect(str(copied))
    shards = len(list((copied / "__markers").iterdir()))
    assert f"The build is not finished: {shards} of {shards + 1} shards are done." in text
    assert f"{27 - marker['rows']} of 30 photographs of the source" in text
    assert "not built yet" in text


def test_a_plan_of_others_is_refused_in_a_sentence(copied: Path, tmp_path: Path) -> None:
    table = pq.read_table(copied / "plan.parquet")
    pq.write_table(table.slice(1), copied / "plan.parquet")
    with pytest.raises(maskgen.MaskgenError, match=r"plan\.parquet cannot be read"):
        inspect(str(copied))
    with pytest.raises(maskgen.UsageError, match="there is no data set in"):
        inspect(str(tmp_path / "none"))


def test_a_source_is_not_left_by_the_names_of_a_plan(doubled: Path, tmp_path: Path) -> None:
    from maskgen.inspecting.pictures import rejected

    (tmp_path / "src").mkdir()
    photograph = (doubled / "src" / NAMES[1] / "grey.jpg").read_bytes()
    (tmp_path / "outside.jpg").write_bytes(photograph)
    (tmp_path / "src" / "inside.jpg").write_bytes(photograph)
    row = {"reason": "no_face", "problem": "", "bytes": len(photograph)}
    rows = [{**row, "key": name, "source": name} for name in ("inside.jpg", "../outside.jpg")]
    rows.append({**row, "key": "absolute", "source": str(tmp_path / "outside.jpg")})
    found, problem = rejected(rows, str(tmp_path / "src"))
    assert found.keys() == {"inside.jpg"}
    assert problem == ""
    gone = {**row, "key": "gone", "source": "gone.jpg"}
    found, problem = rejected([gone], str(tmp_path / "src"))
    assert found == {}
    assert problem


def test_a_large_data_set_is_measured_on_a_part_and_says_so(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spacing, "RUN", 2)
    monkeypatch.setattr(sample_module, "SHARDS", 3)
    there = contents(str(built))
    measured = sample(there, 6)
    assert measured.total == 27
    assert len(measured.rows) == 5  # of shards of 5, 3 and 2 rows: one run of 2, one of 2, one of 1
    read = {shard.name for shard, _ in measured.places}
    with_rows = [part.name for part in there.parts if part.rows]
    assert read == {with_rows[place] for place in spaced(len(with_rows), 3)}
    assert "Measured on 5 of 27 photographs, evenly spaced in 3 of" in inspect(str(built), most=6)


def test_the_command_replaces_its_own_pages_and_no_other_file(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    for _ in range(2):
        result = run(maskgen_command, ["inspect", str(built), "--html", "--no-pictures"])
        assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["smfd.html"]
    Path("mine.html").write_text("mine")
    for call, words in {
        ("--html", "-o", "mine.html"): "mine.html is there and is no page of maskgen; give -o another file.",
        ("--html", "-o", "none/x.html"): "there is no folder none for the page",
        ("--html", "-o", "."): "-o . is a folder",
        ("--html", "--src", "nowhere"): "there is no folder --src nowhere; give the source of the data set",
        ("--html", "--src", "none.tar"): "there is no file ./none.tar; check --src.",
        ("--no-pictures",): "add --html, or leave them out",
        ("--html", "--sample", "0"): "0 is not in the range",
    }.items():
        result = run(maskgen_command, ["inspect", str(built), *call])
        assert (result.exit_code, words in result.output) == (2, True), result.output
    assert Path("mine.html").read_text() == "mine"
