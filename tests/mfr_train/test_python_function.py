"""`--model module:function`: what the function gets, its fingerprint, and its errors."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import maskgen
from maskgen.errors import MaskgenError, UsageError
from mfr_train.cli.main import mfr
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.networks.model import load_model
from mfr_train.networks.python_function import is_function

NUMBERS = itertools.count()

MEANS = """
import numpy as np

def embed(pictures, landmarks):
    assert pictures.dtype == np.uint8 and landmarks.shape == (len(pictures), 68, 2)
    return np.concatenate([pictures.mean((1, 2)), landmarks[:, 30]], axis=1)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module with this text into the working folder, and gives its name, another one each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", sys.path.copy())

    def text_as_module(text: str) -> str:
        name = f"mine_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return text_as_module


def test_a_function_gets_pictures_and_landmarks_in_them(write: Callable[[str], str]) -> None:
    model = load_model(f"{write(MEANS)}:embed", input_size=40)
    assert (model.dim, model.backbone.input_size) == (5, None)
    image = np.zeros((20, 80, 3), np.uint8)
    image[:, :40] = 200, 100, 50
    points = np.zeros((1, 68, 2), np.float32)
    points[0, 30] = 9.5, 4.5  # the corner between pixels 9 and 10, an eighth to the right and a quarter down
    found = model.backbone.features([image], points)
    np.testing.assert_allclose(found, [[100, 50, 25, 4.5, 9.5]], atol=0.5)
    np.testing.assert_allclose(found[0, 3:], [40 / 8 - 0.5, 40 / 4 - 0.5], atol=1e-4)


def test_a_flip_sum_mirrors_the_landmarks_too(write: Callable[[str], str]) -> None:
    name = write("def embed(pictures, landmarks):\n    return landmarks[:, 36]\n")
    points = np.zeros((1, 68, 2), np.float32)
    points[0, 36], points[0, 45] = (8, 10), (30, 12)  # the outer corners of the eyes
    model = load_model(f"{name}:embed", input_size=40, flip_sum=True)
    found = model.backbone.features([np.zeros((40, 40, 3), np.uint8)], points)
    np.testing.assert_allclose(found, [[8 + (39 - 30), 10 + 12]], atol=1e-4)


@pytest.mark.parametrize("align", ["arcface", "dlib"])
def test_landmarks_follow_the_alignment(
    align: str, write: Callable[[str], str], astronaut: np.ndarray, landmarker: maskgen.Landmarker
) -> None:
    """The landmarks that the function gets are where the landmarks of its picture are."""
    name = write(
        "kept = []\n\ndef embed(pictures, landmarks):\n    kept[:] = pictures, landmarks\n    return landmarks[:, 30]\n"
    )
    model = load_model(f"{name}:embed", align=align, input_size=224)
    face = landmarker.find(astronaut)
    assert face
    model.backbone.features([astronaut], face.landmarks[None])
    pictures, landmarks = importlib.import_module(name).kept
    again = landmarker.find(np.pad(pictures[0], ((80, 80), (80, 80), (0, 0))))
    assert again
    assert np.abs(again.landmarks - 80 - landmarks[0]).mean() < 2.5


def test_the_fingerprint_follows_source_weights_and_attribute(write: Callable[[str], str], tmp_path: Path) -> None:
    weighted = "import numpy as np\n\ndef embed(pictures, _):\n    return np.load('w.npy') * pictures.mean((1, 2))\n"
    np.save("w.npy", np.float32(1))
    first, same, other = write(weighted), write(weighted), write(weighted + "# another\n")
    before = load_model(f"{first}:embed").fingerprint
    assert load_model(f"{first}:embed").fingerprint == before
    assert len({before, load_model(f"{same}:embed").fingerprint, load_model(f"{other}:embed").fingerprint}) == 3
    np.save("w.npy", np.float32(2))
    assert load_model(f"{first}:embed").fingerprint != before, "what it gives for noise has changed"

    marked = write(weighted + "\nembed.fingerprint = str(np.load('v.npy')) if np.load('v.npy') else ''\n")
    np.save("v.npy", 1)
    with_attribute = load_model(f"{marked}:embed").fingerprint
    np.save("w.npy", np.float32(3))
    assert load_model(f"{marked}:embed").fingerprint == with_attribute, "the attribute alone says what it loads"
    module = importlib.import_module(marked)
    module.embed.fingerprint = "2"
    assert load_model(f"{marked}:embed").fingerprint != with_attribute
    module.embed.fingerprint = 2
    with pytest.raises(UsageError, match=r"the attribute fingerprint of .* is 2; make it a text"):
        load_model(f"{marked}:embed")


FAILS = "def embed(pictures, landmarks):\n    if len(pictures) == 2:\n        return [[1.0], [2.0]]\n    {}\n"

CALLED = {
    "raises": ("raise KeyError('weights.pt')", r"failed: KeyError: 'weights.pt' \(.*mine_\d+\.py, line 4\); fix it"),
    "in a library": ("__import__('json').loads('x')", r"failed: JSONDecodeError: .*mine_\d+\.py, line 4\)"),
    "exits": ("raise SystemExit(3)", "failed: SystemExit: 3"),
    "returns nothing": ("return None", r"gives an array of shape \(\) for 1 pictures|failed: TypeError"),
    "another length": ("return [[1.0, 2.0]]", r"gives an array of shape \(1, 2\) for 1 pictures in place of \(1, 1\)"),
    "NaN": ("return [[float('nan')]]", "gives embeddings that are no finite numbers"),
    "zero": ("return [[0.0]]", "gives a picture the embedding 0"),
    "ragged": ("return [[1.0], [2.0, 3.0]]", "failed: ValueError"),
}


@pytest.mark.parametrize("kind", CALLED)
def test_a_function_that_fails_is_one_sentence_with_its_line(kind: str, write: Callable[[str], str]) -> None:
    body, words = CALLED[kind]
    model = load_model(f"{write(FAILS.format(body))}:embed")
    with pytest.raises(MaskgenError, match=words) as caught:
        model.backbone.features([np.zeros((8, 8, 3), np.uint8)], np.zeros((1, 68, 2), np.float32))
    assert "\n" not in str(caught.value)


IMPORTED = {
    "syntax": ("def embed(:\n", r"cannot import the module mine_\d+: SyntaxError: .*line 1\); fix it"),
    "missing": ("import no_such_module_x\n", r"ModuleNotFoundError: No module named 'no_such_module_x' \(.*, line 1\)"),
    "raises": ("\nraise OSError('no weights')\n", r"OSError: no weights \(.*mine_\d+\.py, line 2\); fix it"),
    "exits": ("raise SystemExit\n", "cannot import the module .*SystemExit"),
    "no such function": ("def other(a, b): pass\n", r"has no function 'embed'; it has other"),
    "no function": ("embed = 3\n", r"has no function 'embed'; it has no functions"),
}


@pytest.mark.parametrize("kind", IMPORTED)
def test_a_module_that_cannot_be_used_is_one_sentence(kind: str, write: Callable[[str], str]) -> None:
    text, words = IMPORTED[kind]
    with pytest.raises(UsageError, match=words) as caught:
        load_model(f"{write(text)}:embed")
    assert "\n" not in str(caught.value)


def test_a_module_that_is_missing_is_one_sentence(write: Callable[[str], str]) -> None:
    with pytest.raises(UsageError, match=r"there is no module 'no_such_x\.y' for --model, neither in the"):
        load_model("no_such_x.y:embed")


def test_names_of_functions() -> None:
    assert is_function("mine:embed")
    assert is_function("package.module:embed")
    for other in ("dlib", "a:b:c", "C:/x.onnx", "C:\\x", "s3://bucket/x", ":x", "x:", "1a:b", "a b:c", "a.:b", "a:b.c"):
        assert not is_function(other)


def test_options_that_do_not_apply(write: Callable[[str], str]) -> None:
    with pytest.raises(UsageError, match=r"--colors does not apply to the function .*:embed; leave it out"):
        load_model(f"{write(MEANS)}:embed", colors="bgr")


def test_a_settings_file_runs_no_code(write: Callable[[str], str], tmp_path: Path) -> None:
    """A data set or a run of a stranger may come with a settings file."""
    name = write("from pathlib import Path\nPath('ran').touch()\ndef embed(a, b): return [[1.0]] * len(a)\n")
    (tmp_path / "settings.toml").write_text(f'model = "{name}:embed"\ndata = "none"\n')
    result = CliRunner().invoke(mfr, ["eval", "--config", "settings.toml"])
    assert result.exit_code == 2
    assert f"--config sets model to '{name}:embed', which is run as code; give it on the command line" in result.output
    assert not (tmp_path / "ran").exists()
    CliRunner().invoke(mfr, ["eval", "--config", "settings.toml", "--model", f"{name}:embed"])
    assert (tmp_path / "ran").exists()


def test_an_evaluation_of_a_function(demo: Path, write: Callable[[str], str], tmp_path: Path) -> None:
    """Its scores are the cosines of what it gives for the data set's pictures."""
    name = write("def embed(pictures, _):\n    return pictures[:, ::16, ::16, 1].reshape(len(pictures), -1) + 1.0\n")
    kept = {"scenario": "U-U", "breakdown": False, "bootstrap": 0, "cache": tmp_path / "features"}
    report = evaluate(data=str(demo), model=f"{name}:embed", input_size=64, align="none", out=tmp_path / "out", **kept)
    rows = list(maskgen.open(demo).rows("test"))
    values = np.stack([row.image("unmasked")[::16, ::16, 1].reshape(-1) + 1.0 for row in rows])
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    labels = np.array([row.identity for row in rows])
    one, other = np.triu_indices(len(rows), 1)
    scores, same = (values[one] * values[other]).sum(axis=1), labels[one] == labels[other]
    assert report["U-U"].gmean.value == pytest.approx(scores[same].mean(), abs=1e-6)
    assert report["U-U"].imean.value == pytest.approx(scores[~same].mean(), abs=1e-6)
    assert report.preprocessing == {"colors": "rgb", "input-size": 64, "align": "none", "flip-sum": False}
