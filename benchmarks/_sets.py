"""Sets of photographs as users have them, by how much of the frame the face fills and by their size."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from _common import DATA, photographs, source

LFW_COUNT = 1024
"""Photographs of LFW that are taken out of its tars."""

LARGE_COUNT = 24
"""Different photographs of 12 megapixels; each takes some megabytes."""


def tight(scratch: Path, src: Path | None) -> Path:
    """Crops whose face fills about two thirds of the frame."""
    return source(src, scratch)


def loose(scratch: Path, src: Path | None) -> Path:
    """Photographs of 250 x 250 pixels whose face fills two fifths of the frame, as in LFW: LFW where it is there."""
    folder = scratch / "loose"
    if folder.is_dir():
        return folder
    tars = sorted((DATA / "lfw").glob("*.tar"))
    left = LFW_COUNT
    for path in tars[:1]:
        with tarfile.open(path) as tar:
            members = [member for member in tar.getmembers() if member.name.endswith(".jpg")][:left]
            tar.extractall(folder, members, filter="data")
    if not tars:
        _astronauts(folder)
    return folder


def of_400_pixels(scratch: Path, src: Path | None) -> Path:
    """The tight crops with a longer side of 400 pixels."""
    return _resized(tight(scratch, src), scratch / "400", lambda image: _scaled(image, 400 / max(image.shape[:2])))


def of_12_megapixels(scratch: Path, src: Path | None) -> Path:
    """The loose photographs, enlarged to 4000 x 3000 pixels: the middle three quarters of their height."""

    def large(image: np.ndarray) -> np.ndarray:
        height = image.shape[0] * 3 // 4
        top = (image.shape[0] - height) // 2
        return cv2.resize(image[top : top + height], (4000, 3000), interpolation=cv2.INTER_CUBIC)

    return _resized(loose(scratch, src), scratch / "12mp", large, LARGE_COUNT)


SETS: dict[str, Callable[[Path, Path | None], Path]] = {
    "tight crops": tight,
    "LFW framing": loose,
    "400 pixels": of_400_pixels,
    "12 megapixels": of_12_megapixels,
}


def _resized(src: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray], count: int | None = None) -> Path:
    if not folder.is_dir():
        folder.mkdir()
        for number, path in enumerate(photographs(src)[:count]):
            image = cv2.imread(str(path))
            cv2.imwrite(f"{folder}/{number:05d}.jpg", change(image), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return folder


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)


def _astronauts(folder: Path) -> None:
    """64 pictures of the astronaut with LFW's framing, each with another turn, light and side."""
    from skimage import data

    whole = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    folder.mkdir()
    for number in range(64):
        turn, scale = (number % 9 - 4) * 2.0, 1.0 + 0.02 * (number % 7)
        warp = cv2.getRotationMatrix2D((222, 118), turn, scale)
        warp[:, 2] += (125 - 222, 125 - 118)
        picture = cv2.warpAffine(whole, warp, (250, 250), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture = cv2.convertScaleAbs(picture, alpha=0.85 + 0.04 * (number % 5))
        picture = picture[:, ::-1] if number % 2 else picture
        cv2.imwrite(f"{folder}/{number:04d}.jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
