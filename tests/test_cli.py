"""The commands as a user types them: help, one-sentence errors, exit codes, settings files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import maskgen
from maskgen import settings
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.cli.options import CommandGroup
from maskgen.settings import read_toml
from mfr_train.cli.main import mfr as mfr_command
from mfr_train.cli.protocol import protocol as protocol_command
from tests.support.forked import use_forked_workers
from tests.support.processes import STOPPED

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(maskgen_command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "photographs"
    assert run("demo", folder).exit_code == 0
    return folder


def test_reference_is_what_the_code_says() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    import make_reference  # type: ignore[import-not-found]

    assert make_reference.PAGE.read_text() == make_reference.reference(), "run `make docs`"


HEAVY = ("PIL", "cv2", "dlib", "numpy", "pyarrow", "torch", "tqdm")

HELP = [
    ("maskgen",),
    ("mfr",),
    *(("maskgen", name) for name in maskgen_command.commands),
    *(("mfr", name) for name in mfr_command.commands),
    *(("mfr", "protocol", name) for name in protocol_command.commands),
]


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_fits_80_columns(command: tuple[str, ...]) -> None:
    group = {"maskgen": maskgen_command, "mfr": mfr_command}[command[0]]
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(group, [*command[1:], "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    assert "..." not in shown.output.partition("Commands:")[2], "a summary is cut"


@pytest.mark.parametrize("module", ["maskgen", "mfr_train"])
def test_help_loads_nothing_heavy(module: str) -> None:
    program = f"""
import runpy, sys
for command in (["--help"], *([name, "--help"] for name in sys.argv[1:])):
    sys.argv = ["x", *command]
    try:
        runpy.run_module({module!r}, run_name="__main__")
    except SystemExit as stopped:
        assert not stopped.code, command
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    group = maskgen_command if module == "maskgen" else mfr_command
    command = [sys.executable, "-c", program, *group.commands]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = shown.splitlines()[-1].split()
    assert "click" in loaded
    assert shown.count("Usage:") == 1 + len(group.commands)
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "missing"), [(["--src", "photographs"], "--out"), (["--out", "smfd"], "--src"), ([], "--src")]
)
def test_required_options_are_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], missing: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photographs").mkdir()
    result = run("build", *arguments)
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit)
    assert f"Missing option '{missing}'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


def test_a_required_option_may_stand_in_the_settings_file(tmp_path: Path) -> None:
    config = tmp_path / "build.toml"
    config.write_text(f'src = "{tmp_path}/none"\n')
    result = run("build", "--config", config, "--out", tmp_path / "smfd")
    assert (result.exit_code, "there is no folder --src" in result.stderr) == (2, True)


def test_a_progress_bar_leaves_room_for_the_bar_in_80_columns() -> None:
    from maskgen.progress import bar_of

    screen = io.StringIO()
    options = {"total": 3_141_890, "initial": 1_570_945, "disable": False, "file": screen, "ncols": 80}
    with bar_of(desc="building", **options) as bar:
        bar.set_postfix_str("12,345 rejects", refresh=False)
        line = bar.format_meter(**{**bar.format_dict, "rate": 832.12, "elapsed": 3725})
    assert len(line) <= 80
    assert len(line.split("|")[1]) >= 8, line
    assert "1570945/3141890 [1:02:05, 31:27 left, 12,345 rejects]" in line


@pytest.mark.parametrize("group", [maskgen_command, mfr_command])
def test_every_command_teaches_by_example(group: CommandGroup) -> None:
    for name, command in group.commands.items():
        assert command.help, name
        assert f"{group.name} {name}" in command.help, f"{name} shows no example"


def test_the_main_job_from_demo_to_verify(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_forked_workers(monkeypatch)
    out = tmp_path / "smfd"
    built = run("build", "--src", photographs, "--out", out, "--test-identities", "0.5")
    assert built.exit_code == 0, built.output
    assert "holds 96 of 96 photographs" in built.output
    assert (
        run("build", "--src", photographs, "--out", out, "--test-identities", "0.5").output.count("already complete")
        == 1
    )
    inspected = run("inspect", out).output
    assert "test-identities  0.5" in inspected
    assert "follow-links     no" in inspected
    assert "limit            -" in inspected
    sizes = {split: sum(path.stat().st_size for path in (out / split).glob("*.parquet")) for split in ("train", "test")}
    lines = {line.split()[0]: line.split() for line in inspected.splitlines() if line.strip()}
    assert {split: lines[split][-1] for split in sizes} == {split: f"{size:,}" for split, size in sizes.items()}
    shown = (built.output + inspected).replace(str(out), "smfd")
    assert max(map(len, shown.splitlines())) <= 80
    assert len(maskgen.open(out)) == 96
    verified = run("verify", out)
    assert verified.exit_code == 0
    assert "96 rows + 0 rejects = 96 photographs" in verified.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--src", "{}/none", "--out", "{}/smfd"], 2, "no folder --src"),
        (["--src", "{}", "--out", "{}/smfd"], 2, "inside each other"),
        (["--src", "{}", "--out", "{}-smfd", "--variants", "all,huge"], 2, "--variants has no 'all'"),
        (["--src", "{}", "--out", "{}-smfd", "--colors", "green"], 2, "--colors has 'green'"),
        (["--src", "{}", "--out", "{}-smfd", "--quality", "101"], 2, "at most 100"),
        (["--src", "{}", "--out", "{}-smfd"], 2, "has no photograph in it"),
        (["--src", "", "--out", "{}-smfd"], 2, "--src is empty"),
        (["--src", "{}", "--out", ""], 2, "--out is empty"),
        (["--src", __file__, "--out", "{}-smfd"], 2, "is a file and none of .tar"),
        (["--src", "{}", "--out", "{}-smfd", "--predictor", "{}/x.dat"], 2, "no file --predictor"),
    ],
)
def test_a_wrong_call_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    result = run("build", *(argument.format(tmp_path) for argument in arguments))
    assert (result.exit_code, result.exception.__class__) == (code, SystemExit)
    assert words in result.output
    assert result.output.count("\n") == 1, result.output
    assert result.output.rstrip().endswith(".")


def test_a_folder_too_deep_is_one_sentence(photographs: Path, tmp_path: Path) -> None:
    result = run("build", "--src", photographs / "collins", "--out", tmp_path / "smfd")
    assert result.exit_code == 2
    assert "of its 8 entries, '0001_01.jpg' for one is no_identity" in result.output
    assert "give the folder above" in result.output


def test_no_usable_photograph_ends_in_the_summary_and_one_sentence(
    tmp_path: Path, write_tree: Callable[..., Path]
) -> None:
    src = write_tree(tmp_path / "src", {"ann/1.jpg": b"text", "ann/2.jpg": b"text", "bob/1.jpg": b""})
    for _ in range(2):  # what is finished stays so
        result = run("build", "--src", src, "--out", tmp_path / "smfd", "--engine", "serial")
        assert result.exit_code == 1
        assert "holds 0 of 3 photographs" in result.stdout
        assert "mfr train --data" not in result.stdout
        assert result.stderr.count("\n") == 1
        assert "no photograph could be used, 2 of 3 because of not_an_image; see " in result.stderr
    assert run("verify", tmp_path / "smfd").exit_code == 0


def test_the_summary_says_which_split_is_empty(photographs: Path, tmp_path: Path) -> None:
    build = ("build", "--src", photographs, "--size", 64, "--limit", 8, "--engine", "serial")
    only_train = run(*build, "--out", tmp_path / "a").output
    assert "no test photographs, which mfr eval needs; raise --test-identities" in only_train
    assert "no training" not in only_train
    only_test = run(*build, "--out", tmp_path / "b", "--test-identities", 1).output
    assert "no training photographs, which mfr train needs; lower --test-identities" in only_test
    assert "no test" not in only_test
    assert "mfr train --data" not in only_test


def test_a_tilde_is_the_home_folder(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photographs.parent))
    monkeypatch.chdir(tmp_path)
    assert (
        run("build", "--src=~/photographs", "--out=~/smfd", "--size=64", "--limit=2", "--engine=serial").exit_code == 0
    )
    assert not list(tmp_path.iterdir())
    assert maskgen.open(photographs.parent / "smfd").count("train") == 2


def test_settings_file_is_the_default_and_the_command_line_wins(photographs: Path, tmp_path: Path) -> None:
    config = tmp_path / "build.toml"
    config.write_text(f'src = "{photographs}"\nsize = 96\nvariants = "wide_low"\nquality = 80\nengine = "serial"\n')
    result = run("build", "--config", config, "--out", tmp_path / "smfd", "--size", 64, "--limit", 8)
    assert result.exit_code == 0, result.output
    settings = maskgen.open(tmp_path / "smfd").info["settings"]
    assert (settings["size"], settings["variants"], settings["quality"]) == (64, "wide_low", 80)


@pytest.mark.parametrize(
    ("text", "words"), [("siez = 96", "sets 'siez'"), ("size = = 9", "not a TOML file"), (None, "cannot read")]
)
def test_a_bad_settings_file_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    config = tmp_path / "build.toml"
    if text is not None:
        config.write_text(text)
    result = run("build", "--config", config, "--src", tmp_path, "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("size = inf", "'inf' is not a valid integer"),
        ("size = 96.7", "'96.7' is not a valid integer"),
        ("size = true", "'true' is not a valid integer"),
        ("size = 9999999999", "at most 8192"),
        ("limit = 9223372036854775808", "at most 9223372036854775807"),
        ("follow-links = 2", "'2' is not a valid boolean"),
        ("test-identities = nan", "give a finite number"),
        ("variants = { a = 1 }", "sets 'variants' to a value that no option accepts"),
        ("variants = []", "sets 'variants' to a value that no option accepts"),
        ("predictor = 1979-05-27", "sets 'predictor' to a value that no option accepts"),
        (r'boxes = ["a\u0000b"]', "sets 'boxes' to a value that no option accepts"),
    ],
)
def test_a_settings_file_is_held_to_the_rules_of_the_command_line(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "build.toml"
    config.write_text(text)
    result = run("build", "--config", config, "--src", tmp_path, "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert words in result.output


def test_a_settings_file_may_list_what_a_command_line_joins_or_repeats(tmp_path: Path) -> None:
    config = tmp_path / "build.toml"
    config.write_text('variants = ["wide_low", "round_high"]\nboxes = "a.csv"\nfollow_links = true\nquality = 80\n')
    assert read_toml(config, maskgen.BuildSettings) == {
        "variants": "wide_low,round_high",
        "boxes": ["a.csv"],
        "follow_links": "true",
        "quality": "80",
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variants": 6}, "--variants is 6; give str"),
        ({"limit": "3"}, "--limit is '3'; give int or None"),
        ({"size": 112.0}, "--size is 112.0; give int"),
        ({"overwrite": 1}, "--overwrite is 1; give bool"),
        ({"workers": True}, "--workers is True; give int or None"),
    ],
)
def test_python_callers_are_told_of_values_of_another_type(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(maskgen.UsageError, match=words):
        maskgen.build(src=ROOT, out=tmp_path / "smfd", **options)


def test_numpys_numbers_are_numbers() -> None:
    plain = maskgen.BuildSettings("a", "b", size=96, test_identities=1.0)
    numpys = maskgen.BuildSettings("a", "b", size=np.int64(96), test_identities=np.int64(1))
    settings.check(numpys)
    assert json.dumps(settings.jsonable(numpys)) == json.dumps(settings.jsonable(plain))


def test_demo_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = run("demo", tmp_path)
    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    result = run("demo", tmp_path / "mine.txt")
    assert result.exit_code == 2
    assert "mine.txt is a file; give a new folder." in result.output


@pytest.mark.parametrize(
    ("group", "command", "stands_in", "said"),
    [
        (maskgen_command, ["demo", "x"], "maskgen.cli.demo.write_demo", "maskgen: stopped."),
        (maskgen_command, ["preview", "x.jpg"], "maskgen.cli.preview.write_sheets", "maskgen: stopped."),
        (maskgen_command, ["inspect", "x"], "maskgen.cli.console.inspection", "maskgen: stopped."),
        (maskgen_command, ["verify", "x"], "maskgen.cli.console.verify_with_progress", "maskgen: stopped."),
        (maskgen_command, ["export", "x", "y"], "maskgen.cli.console.export_with_progress", STOPPED),
        (maskgen_command, ["build", "--src=x", "--out=y"], "maskgen.cli.console.build_with_progress", STOPPED),
        (mfr_command, ["train"], "mfr_train.cli.console.train_with_summary", STOPPED.replace("maskgen", "mfr")),
        (mfr_command, ["eval"], "mfr_train.cli.console.eval_with_progress", "mfr: stopped."),
    ],
)
def test_only_a_resumable_command_says_so_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, group: CommandGroup, command: list[str], stands_in: str, said: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if group is mfr_command:
        pytest.importorskip("torch")
    monkeypatch.setattr(stands_in, stop)
    result = CliRunner().invoke(group, command)
    assert (result.exit_code, result.output.strip()) == (130, said)


def test_a_path_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    long, file = tmp_path / ("x" * 300), tmp_path / "file"
    file.write_text("")
    for arguments in (("demo", long), ("demo", file / "x"), ("build", "--src", ROOT, "--out", long)):
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.output.count("\n") == 1, result.output
        assert "File name too long" in result.output or "Not a directory" in result.output


def test_preview_pages_a_folder_of_photographs(photographs: Path, tmp_path: Path) -> None:
    result = run("preview", photographs, "-o", tmp_path / "sheet.png", "--limit", 21)
    assert result.exit_code == 0, result.output
    assert f"{tmp_path}/sheet.png to {tmp_path}/sheet-2.png: 21 of 21 photographs masked." in result.output
    assert "there are more photographs; raise --limit" in result.output
    with Image.open(tmp_path / "sheet.png") as full, Image.open(tmp_path / "sheet-2.png") as rest:
        assert full.size == (8 + 7 * 232, 24 + 8 + 20 * 256)
        assert rest.size == (8 + 7 * 232, 24 + 8 + 256)
    (tmp_path / "empty").mkdir()
    nothing = run("preview", tmp_path / "empty")
    assert (nothing.exit_code, "there is no photograph in" in nothing.stderr) == (2, True)


@pytest.mark.parametrize("store", ["rendered", "recipe"])
def test_preview_of_a_data_set_shows_its_pictures_and_its_rejects(
    tree: Path, make: Callable[..., Path], tmp_path: Path, store: str
) -> None:
    out = make(tree, tmp_path / "smfd", store=store, variants="wide_low", colors="#00ff00", size=224)
    sheet = tmp_path / "sheet.png"
    result = run("preview", out, "-o", sheet, "--limit", 3)
    assert result.exit_code == 0, result.output
    assert f"{sheet}: 3 of 27 photographs and 3 of 3 rejects of {out}." in result.output
    rows = list(maskgen.open(out))
    with Image.open(sheet) as picture:
        assert picture.size == (8 + 4 * 232, 24 + 8 + 3 * 256 + 3 * 32)
        for place, number in enumerate((0, 13, 26)):  # evenly spaced
            left, top = 8 + 232, 24 + 256 * place
            shown = np.asarray(picture.crop((left, top, left + 224, top + 224)))
            np.testing.assert_array_equal(shown, rows[number].image("wide_low"))
        text = np.asarray(picture.crop((0, 24 + 3 * 256, 400, 24 + 3 * 256 + 3 * 32)).convert("L"))
    assert all((text[32 * line : 32 * line + 24] < 100).any() for line in range(3)), "three lines of rejects"
    for wrong in ((out, out), (out, "--color", "#ff0000")):
        assert run("preview", *wrong, "-o", sheet).exit_code == 2


def test_preview_writes_a_sheet_and_names_what_has_no_face(photographs: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (64, 64), "grey").save(blank)
    sheet = tmp_path / "sheet.png"
    result = run("preview", photographs / "collins/0001_01.jpg", blank, "-o", sheet, "--color", "#ff0000")
    assert result.exit_code == 0
    assert "1 of 2 photographs masked" in result.output
    assert "no_face" in result.output
    with Image.open(sheet) as picture:
        red = sum(1 for pixel in picture.convert("RGB").get_flattened_data() if pixel == (255, 0, 0))
    assert red > 6 * 1000, "six masks of the colour that was asked for"
    assert run("preview", blank, "-o", sheet).exit_code == 1
    assert run("preview", blank, "-o", sheet, "--color", "nist").exit_code == 2
    sheet.unlink()
    missing = run("preview", tmp_path / "missing.jpg", "-o", sheet)
    assert (missing.exit_code, sheet.exists()) == (2, False)
    assert "there is no photograph or folder" in missing.output
    named = run("preview", blank, "-o", sheet, "--color", "red")
    assert (named.exit_code, named.output) == (2, "maskgen: --color has 'red'; give #RRGGBB.\n")


def test_verify_names_the_broken_shard_and_its_advice_works(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "smfd"
    build = ("build", "--src", photographs, "--out", out, "--size", 64, "--limit", 40, "--engine", "serial")
    assert run(*build).exit_code == 0
    shard = sorted((out / "train").glob("*.parquet"))[0]
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    shard.write_bytes(damaged)
    result = run("verify", out)
    assert result.exit_code == 1
    assert "shard train/00000 is broken: 00000.parquet has other bytes" in result.output
    (out / f"__markers/train-{shard.stem}.json").unlink()  # what the sentence advises
    assert run(*build).exit_code == 0
    assert shard.read_bytes() == whole
    assert run("verify", out).exit_code == 0
