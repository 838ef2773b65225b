"""A small source tree of real face photographs, made from pictures of scikit-image and matplotlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from ..errors import MaskgenError, UsageError, installing, shown_lines
from ..imaging.render import Image
from ..terminal import HINT

TAKES = 8
"""Photographs of each identity: one portrait, each time moved, turned, scaled and lit slightly differently."""

SIDE = 192

LFW_FACES = (3, 19, 51, 60, 62, 66, 77, 80, 92, 95)
"""Faces from scikit-image's excerpt of Labeled Faces in the Wild (25 x 25 pixels, grey): those that dlib detects most
reliably, so that they are found on every machine."""

_ASTRONAUT = (135, 20, 190)  # left, top, side of the head in scikit-image's portrait of Eileen Collins (NASA)
_HOPPER = (80, 60, 370)  # in matplotlib's portrait of Grace Hopper (US Navy)


def write_demo(folder: Path) -> str:
    """Writes the tree into a new or empty folder, and returns a sentence. The same versions give the same pictures.

    Raises `UsageError` if the folder is not empty, `MaskgenError` if scikit-image is not installed.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a new folder.")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; give a new folder.")
    portraits = _portraits()
    for identity, portrait in portraits.items():
        (folder / identity).mkdir(parents=True)
        generator = np.random.default_rng(len(identity) + sum(identity.encode()))
        for take in range(TAKES):
            name = folder / identity / f"{take + 1:04d}_01.jpg"
            PillowImage.fromarray(_take(portrait, take, generator)).save(name, quality=95)
    return shown_lines(
        [
            f"{folder} holds {len(portraits) * TAKES} photographs of {len(portraits)} people: {TAKES} variations of "
            "one portrait each.",
            "Results on them show that everything runs, not how well a network recognises faces.",
            f"{HINT}next, run maskgen build --src {folder} --out smfd",
        ]
    )


def _portraits() -> dict[str, Image]:
    """Square portraits by identity: NASA's, the US Navy's if matplotlib is installed, and ten of LFW."""
    data = _package_file("skimage", "data")
    if data is None or not (data / "astronaut.png").is_file():
        raise MaskgenError(
            f"the demo's photographs come with scikit-image, which is not installed; {installing('demo')}."
        )
    portraits = {"collins": _cut(data / "astronaut.png", *_ASTRONAUT)}
    hopper = _package_file("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")
    if hopper is not None and hopper.is_file():
        portraits["hopper"] = _cut(hopper, *_HOPPER)
    faces = np.load(data / "lfw_subset.npy")
    for number in LFW_FACES:
        grey = np.rint(faces[number] * 255).astype(np.uint8)
        large = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        portraits[f"lfw_{number:02d}"] = np.repeat(large[:, :, None], 3, axis=2)
    return portraits


def _package_file(package: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / path if spec and spec.origin else None


def _cut(path: Path, left: int, top: int, side: int) -> Image:
    with PillowImage.open(path) as picture:
        part = picture.convert("RGB").crop((left, top, left + side, top + side))
        return np.asarray(part.resize((SIDE, SIDE), PillowImage.Resampling.LANCZOS))


def _take(portrait: Image, take: int, generator: np.random.Generator) -> Image:
    """A variation: turned by up to 6 degrees, scaled by 5 %, moved by 8 pixels, in other light; half are mirrored."""
    angle, scale = generator.uniform(-6, 6), generator.uniform(0.95, 1.05)
    move = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, scale)
    move[:, 2] += generator.uniform(-8, 8, 2)
    moved = cv2.warpAffine(portrait, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    lit = 255 * (moved / 255) ** generator.uniform(0.75, 1.3) + generator.normal(0, 2, moved.shape)
    picture: Image = np.clip(lit, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture[:, ::-1]) if take % 2 else picture
