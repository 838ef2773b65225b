"""A network that is a Python function of the user, named as `module:function`."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from maskgen.errors import MaskgenError, UsageError, short

from ..defaults import is_function
from . import frozen as networks
from .backbone import Backbone, Floats
from .faces import Faces
from .preprocessing import NOTHING_GIVEN, RGB, WHOLE, Preprocessing, completed, described

__all__ = ["described_error", "function_of", "is_function", "load"]

FUNCTION = "function"
"""What such a network is called in the feature cache."""

USUAL = Preprocessing(RGB, input_size=224, align=WHOLE)
OPTIONS = ("input_size", "align", "flip_sum")

SAMPLES = 2
DIGITS = 4
"""Of what a function gives for the samples, so many digits are hashed: the last ones depend on the machine."""


def load(model: str, given: Preprocessing = NOTHING_GIVEN) -> Backbone:
    """The network that a function is. Its module is imported, and so run: only a name that the user types may get here.

    Raises `UsageError` if there is no such function, `MaskgenError` if it fails or gives no embeddings.
    """
    made = completed(given, USUAL, OPTIONS, f"the function {model}")
    function, source = function_of(model, "--model")

    def network(faces: Faces, landmarks: Floats) -> Floats:
        return _called(function, faces, landmarks, model, source)

    size = made.input_size
    assert size
    samples = np.random.default_rng(0).integers(0, 256, (SAMPLES, size, size, 3), dtype=np.uint8)
    landmarks = np.random.default_rng(1).uniform(0.2 * size, 0.8 * size, (SAMPLES, 68, 2)).astype(np.float32)
    found = network(samples, landmarks)
    if found.ndim != 2 or len(found) != SAMPLES or not found.shape[1]:
        raise MaskgenError(
            f"the function {model} gives an array of shape {found.shape} for {SAMPLES} pictures; it must give "
            f"({SAMPLES}, d), an embedding of each."
        )
    print_ = _fingerprint(function, model, source, made, found)
    return networks.frozen_with_landmarks(FUNCTION, f"the function {model}", found.shape[1], network, made, print_)


def function_of(text: str, option: str) -> tuple[Callable[..., Any], Path]:
    """The function that the text of an option means, and the file of its module, which is imported, and so run.

    Raises `UsageError` if there is none.
    """
    module_name, _, name = text.partition(":")
    module = _module(module_name, option)
    function = getattr(module, name, None)
    if not callable(function):
        names = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        there = f"it has {', '.join(names[:8])}" if names else "it has no functions"
        raise UsageError(f"the module {module_name} has no function {name!r}; {there}.")
    return function, Path(module.__file__ or "")


def _fingerprint(function: Any, model: str, source: Path, made: Preprocessing, found: Floats) -> str:
    """Hash of the function: of its module's file, its name, and its attribute `fingerprint`.

    What it loads, such as weights, is not seen. Without the attribute, what it gives for noise stands for that.
    """
    own = getattr(function, "fingerprint", None)
    if own is not None and not (isinstance(own, str) and own):
        raise UsageError(f"the attribute fingerprint of {model} is {short(repr(own))}; make it a text.")
    given = own if own is not None else [f"{value:.{DIGITS - 1}e}" for value in found.ravel().tolist()]
    text = json.dumps([model, given, described(made)], sort_keys=True)
    return hashlib.sha256(text.encode() + source.read_bytes()).hexdigest()


def _module(name: str, option: str) -> ModuleType:
    with _working_folder_first():
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(f"{error.name}.")):
                raise UsageError(
                    f"there is no module {name!r} for {option}, neither in the working folder nor installed; check its "
                    "name."
                ) from None
            raise UsageError(f"cannot import the module {name}{described_error(error, None)}; fix it.") from None
        except (Exception, SystemExit) as error:
            raise UsageError(f"cannot import the module {name}{described_error(error, None)}; fix it.") from None
    if not getattr(found, "__file__", None):
        raise UsageError(f"the module {name} has no file; give {option} a function of a module in Python.")
    return found


@contextmanager
def _working_folder_first() -> Iterator[None]:
    """Modules are found in the working folder. It stays at the end of the path, for what the function imports later."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path[:] = [*(folder for folder in sys.path if folder != here), here]


def _called(function: Callable[..., Any], faces: Faces, landmarks: Floats, model: str, source: Path) -> Floats:
    try:
        found = np.asarray(function(faces, landmarks), np.float32)
    except (Exception, SystemExit) as error:
        raise MaskgenError(f"the function {model} failed{described_error(error, source)}; fix it.") from None
    return found


def described_error(error: BaseException, source: Path | None) -> str:
    """The error of a user's module, and the line that raised it: in the module's own file if that took part."""
    if isinstance(error, SyntaxError) and error.filename:
        return f": {type(error).__name__}: {short(error.msg)} ({error.filename}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<")
    ]
    own = [frame for frame in frames if source and frame.filename == str(source)]
    last = (own or frames)[-1:]
    return f": {type(error).__name__}: {short(error)}" + "".join(f" ({at.filename}, line {at.lineno})" for at in last)
