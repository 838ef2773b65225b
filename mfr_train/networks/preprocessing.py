"""Preprocessing: how pictures are given to a network, where its file does not say it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import TypedDict

from maskgen import settings
from maskgen.errors import UsageError
from maskgen.settings import setting

from ..defaults import MAX_INPUT_SIZE, MIN_INPUT_SIZE

Numbers = str | float | tuple[float, ...]
"""One number for all channels, or three: as a tuple, or as text with commas."""

RGB, BGR = "rgb", "bgr"
NCHW, NHWC = "nchw", "nhwc"
ARCFACE, CHIP, WHOLE = "arcface", "dlib", "none"


class InputOptions(TypedDict, total=False):
    """The fields of `Preprocessing` as keywords."""

    colors: str | None
    mean: Numbers | None
    scale: Numbers | None
    input_size: int | None
    layout: str | None
    align: str | None
    flip_sum: bool
    output: str | None


@dataclass(frozen=True)
class Preprocessing:
    """How pictures are given to a network. None means: as its file says, or as networks of its kind usually take them.

    A network gets (x - mean) / scale of the values x in 0..255 of each channel.

    Attributes:
        colors: Order of the channels, `rgb` or `bgr`.
        mean: One number, or three in the order of `colors`.
        scale: Likewise.
        input_size: Side of the square input in pixels.
        layout: `nchw` or `nhwc`.
        align: How the face is cut out by its landmarks: `arcface`, `dlib` or `none`, the whole picture.
        flip_sum: Whether an embedding is the sum of those of the picture and of its mirror image.
        output: The name of the output that is the embedding.
    """

    colors: str | None = setting(
        None, help="Order of the channels that the network takes; rgb by default.", choices=(RGB, BGR)
    )
    mean: Numbers | None = setting(
        None,
        help="The network gets (x - mean) / scale of values 0 to 255: one number, or three in the order of --colors. "
        "By default 127.5 for ONNX files.",
        metavar="NUMBER[,NUMBER,NUMBER]",
    )
    scale: Numbers | None = setting(
        None, help="See --mean; by default 127.5 for ONNX files.", metavar="NUMBER[,NUMBER,NUMBER]"
    )
    input_size: int | None = setting(
        None,
        help="Side in pixels of the pictures that the network takes, if its file does not say it; 112 by default for "
        "ONNX files.",
        low=MIN_INPUT_SIZE,
        high=MAX_INPUT_SIZE,
    )
    layout: str | None = setting(
        None,
        help="Order of the dimensions of the network's input; by default as the shape in its file says.",
        choices=(NCHW, NHWC),
    )
    align: str | None = setting(
        None,
        help="How faces are cut out for the network: by ArcFace's five points, as dlib does it, or not at all. By "
        "default arcface for ONNX files.",
        choices=(ARCFACE, CHIP, WHOLE),
    )
    flip_sum: bool = setting(False, help="Add the embedding of the mirrored picture to that of the picture.")
    output: str | None = setting(None, help="Name of the output that is the embedding, if there are several.")

    def given(self) -> list[str]:
        """The names of the fields that were set."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return [name for name, value in values.items() if value is not None and value is not False]


NOTHING_GIVEN = Preprocessing()
"""As the file of a network says, or as networks of its kind usually take pictures."""


def of(holder: object) -> Preprocessing:
    """The preprocessing in settings that have all its fields. Raises `UsageError` for values that are not valid."""
    return checked(
        Preprocessing(**{field.name: getattr(holder, field.name) for field in dataclasses.fields(Preprocessing)})
    )


def checked(given: Preprocessing) -> Preprocessing:
    """The same with numbers in place of their text. Raises `UsageError` for values that are not valid."""
    settings.check(given)
    return dataclasses.replace(given, mean=_numbers("mean", given.mean), scale=_numbers("scale", given.scale))


def _numbers(name: str, value: Numbers | None) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, tuple) else (value,)
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"--{name} is {value!r}; give one number, or three with commas.")
    if name == "scale" and not all(number > 0 for number in numbers):
        raise UsageError(f"--scale is {value!r}; give numbers above 0.")
    return numbers[0] if len(set(numbers)) == 1 else numbers


def completed(given: Preprocessing, usual: Preprocessing, options: tuple[str, ...], what: str) -> Preprocessing:
    """`usual` with what was given. Raises `UsageError` if something was given that is not among the `options` of the
    network, which `what` names."""
    names = given.given()
    for name in names:
        if name not in options:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} does not apply to {what}; leave it out.")
    return dataclasses.replace(usual, **{name: getattr(given, name) for name in names})


def described(made: Preprocessing) -> dict[str, object]:
    """All settings of a complete preprocessing as JSON values; those that a network does not have are left out."""
    found = settings.jsonable(made)
    return {name: value for name, value in found.items() if value is not None}


def fingerprint(network: str, made: Preprocessing, usual: Preprocessing) -> str:
    """Hash of a network, given by one of its own, and of the preprocessing if it is not the usual one."""
    if made == usual:
        return network
    text = json.dumps(described(made), sort_keys=True)
    return hashlib.sha256(f"{network} {text}".encode()).hexdigest()
