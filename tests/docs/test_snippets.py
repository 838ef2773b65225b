"""Every Python block of the documentation runs, and every command in it exists with the options shown."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import timm

from maskgen.cli.main import maskgen as maskgen_command
from maskgen.cli.options import CONTEXT
from mfr_train.cli.main import mfr as mfr_command
from mfr_train.comparison import compare
from mfr_train.defaults import CACHE
from mfr_train.evaluation import evaluate
from mfr_train.training import train as training
from tests.support.narrow import use_narrow_networks

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md")})
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?^( *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^ *```$", re.S | re.M
)
COMMANDS = {"maskgen": maskgen_command, "mfr": mfr_command}


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    code: str
    reason: str | None


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text()
    found = [
        Block(page, text.count("\n", 0, match.start("code")) + 1, match["language"], match["code"], match["reason"])
        for match in BLOCK.finditer(text)
    ]
    return [block for block in found if block.language in languages]


PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]
SHELL_BLOCKS = [block for page in PAGES for block in blocks(page, "sh")]


def test_pages_have_snippets_and_languages() -> None:
    assert {"README.md", "training.md", "evaluation.md", "building.md"} <= {page.name for page in PYTHON_PAGES}
    for page in PAGES:
        assert not blocks(page, "", "py", "bash", "shell", "console"), f"{page.name}: call the languages python and sh"


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run in their order in one namespace, beside `photographs` and `smfd`.

    What they train is a narrow ResNet18, by small batches; tests/test_cli_mfr.py trains and measures a whole one. At
    most 100 resamples are drawn. A build runs in this process. The features of dlib's network lie in the default cache,
    as after an evaluation.
    """
    for name in ("photographs", "smfd"):
        (tmp_path / name).symlink_to(prepared / name, target_is_directory=True)
    shutil.copytree(prepared / "features", tmp_path / CACHE)
    use_narrow_networks(monkeypatch)
    monkeypatch.setattr("maskgen.engines.engine._is_here", lambda _: True)
    measured = evaluate._evaluate
    monkeypatch.setattr(
        evaluate,
        "_evaluate",
        lambda settings, *rest: measured(replace(settings, bootstrap=min(settings.bootstrap, 100)), *rest),
    )
    trained, compared, timm_model = training.train, compare._scenario, timm.create_model
    monkeypatch.setattr(training, "train", lambda settings: trained(replace(settings, batch=settings.batch or 8)))
    monkeypatch.setattr(
        compare,
        "_scenario",
        lambda name, reports, settings: compared(
            name, reports, replace(settings, bootstrap=min(settings.bootstrap, 100))
        ),
    )
    monkeypatch.setattr(timm, "create_model", lambda name, **given: timm_model(name, channels=(8, 16, 32, 64), **given))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if block.reason is None:
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), namespace)
        else:
            assert len(block.reason.split()) >= 3, f"{page.name}:{block.line}: say why it is not run"


def options_exist(command: click.Command, arguments: list[str]) -> None:
    """Raises click's error for an option that there is not, or for a value that is no choice."""
    context = click.Context(command, **CONTEXT)  # click keeps the help option that a command first makes
    given, _, _ = command.make_parser(context).parse_args(arguments)
    for parameter in command.params:
        value = given.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=lambda block: f"{block.page.name}:{block.line}")
def test_commands_and_options_exist(block: Block) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        program = next((word for word in words if Path(word).name in COMMANDS and "-m" not in words[:1]), None)
        if words[:1] == ["make"]:
            assert set(words[1:]) <= set(targets), line
        elif words[:1] == ["python"] and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), line
        elif program and words[0] in (program, "torchrun", "python"):
            group, arguments = COMMANDS[Path(program).name], words[words.index(program) + 1 :]
            command: click.Command = group
            while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
                assert arguments[0] in command.commands, line
                command, arguments = command.commands[arguments[0]], arguments[1:]
            options_exist(command, arguments)


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        options_exist(maskgen_command.commands["build"], ["--src", "x", "--sise", "3"])
    with pytest.raises(click.BadParameter):
        options_exist(maskgen_command.commands["build"], ["--format", "zip"])
