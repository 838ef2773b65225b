"""Photograph -> face box + 68 landmarks, coarse to fine: most faces are found on a small copy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from ..errors import MaskgenError, UsageError
from .pixels import Pixels, pixels_of

FIRST_SIDE = 120
"""Longer side, in pixels, of the copy that is searched first, where faces of two thirds of it or more are found.
The cheapest of the sides from 96 to 160, with no loss of faces or precision (docs/performance.md)."""

SMALLEST_LAST_SIDE = 448
"""Small photographs are enlarged to about this size at last: dlib's detector needs faces of about 80 pixels."""

LARGEST_UPSAMPLED_SIDE = 3000
"""Photographs are enlarged to twice their size only if that is at most this."""

SHAPE_PREDICTOR = "shape_predictor_68_face_landmarks.dat"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Face:
    """A face in a photograph, in pixels of the photograph.

    Attributes:
        box: float32 (4,), left, top, right and bottom.
        landmarks: float32 (68, 2), x and y, in the iBUG 300-W order.
    """

    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]

    def __repr__(self) -> str:
        box = ", ".join(f"{value:.1f}" for value in self.box.tolist())
        return f"Face(box=({box}), landmarks={len(self.landmarks)} points)"


class Landmarker:
    """dlib's frontal face detector and 68-point shape predictor.

    The models take 100 MB of memory. Load them once and use them for many photographs. A pickled `Landmarker` holds
    only the path of its predictor: the process that unpickles it loads the models when it first uses them.

    Args:
        predictor: A dlib shape predictor of 68 points; by default the packaged one.

    Raises:
        UsageError: If the file is not such a model.
        MaskgenError: If the packaged model is missing.

    Example:
        >>> landmarker = maskgen.Landmarker()
        >>> face = landmarker.find(maskgen.decode(Path("face.jpg").read_bytes()))
        >>> face.landmarks.shape
        (68, 2)
    """

    def __init__(self, predictor: Path | str | None = None) -> None:
        self._path = Path(predictor).absolute() if predictor else None
        _ = self._predict  # loads it, so that a wrong file fails here

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path}

    @cached_property
    def _detect(self) -> Any:
        return dlib.get_frontal_face_detector()

    @cached_property
    def _predict(self) -> Any:
        path = self._path or model_path(SHAPE_PREDICTOR)
        if not path.is_file():
            raise UsageError(f"there is no landmark model {path}; give --predictor a dlib shape predictor file.")
        try:
            predictor = dlib.shape_predictor(str(path))
        except RuntimeError:
            raise UsageError(f"{path} is not a dlib shape predictor; give --predictor such a file.") from None
        points = predictor(np.zeros((9, 9), np.uint8), dlib.rectangle(0, 0, 8, 8)).num_parts
        if points != 68:
            raise UsageError(f"{path} gives {points} points; --predictor needs a dlib shape predictor of 68 points.")
        return predictor

    def find(self, image: Pixels | PillowImage.Image, box: npt.ArrayLike | None = None) -> Face | None:
        """Finds the largest face of a photograph and its landmarks.

        With a `box` nothing is detected, and the landmarks are fitted to that face in two passes. Boxes of other
        detectors lie differently around a face than dlib's, which the predictor was trained on. So the landmarks of
        the first pass give a box like dlib's for the second, which nearly halves the error of loose boxes.

        Args:
            image: uint8 (height, width) grey or (height, width, 3) RGB, or a Pillow image of any mode.
            box: Left, top, right and bottom of a face that is already known, in pixels.

        Returns:
            The face, or None if no frontal face is found.

        Raises:
            TypeError: If the image is neither an array nor a Pillow image.
            ValueError: If the image or the box has another form.
        """
        image = pixels_of(image)
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or not image.size:
            raise ValueError(f"the image is {image.dtype} {image.shape}; give uint8 (height, width) or (..., 3)")
        if box is not None and not (np.shape(box) == (4,) and (np.abs(np.asarray(box, float)) < 1e6).all()):
            raise ValueError(f"the box is {box}; give x0, y0, x1, y1 in pixels")
        return self.find_all([image], [box])[0]

    def find_all(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        boxes: Sequence[npt.ArrayLike | None],
        step: Callable[[int], AbstractContextManager[object]] = nullcontext,
    ) -> list[Face | None]:
        """The result of `find` for each photograph and its box. The steps for photograph n run in `step(n)`.

        The landmarks of a face read about 4 MB, scattered over a model of 65 MB. If they are computed one after the
        other, half of that is in the processor's cache; between detection, drawing and encoding, none of it is.
        """
        greys = [image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        found: list[npt.NDArray[np.float32] | None] = []
        for number, (grey, box) in enumerate(zip(greys, boxes, strict=True)):
            with step(number):
                found.append(self.detect(grey) if box is None else np.asarray(box, dtype=np.float32))
        faces: list[Face | None] = []
        for number, (grey, given, face) in enumerate(zip(greys, boxes, found, strict=True)):
            if face is None:
                faces.append(None)
                continue
            with step(number):
                landmarks = self.predict(grey, face)
                if given is not None:
                    landmarks = self.predict(grey, detector_box(landmarks))
            faces.append(Face(face, landmarks))
        return faces

    def detect(self, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
        """The box of the largest face, float32 (4,) x0, y0, x1, y1 in pixels. It may extend beyond the picture."""
        for side in search_sides(max(grey.shape)):
            copy = _resized(grey, side)
            faces = self._detect(copy, 0)
            if faces:
                face = max(faces, key=lambda rectangle: rectangle.area())
                scale = np.array([grey.shape[1] / copy.shape[1], grey.shape[0] / copy.shape[0]] * 2)
                corners = np.array([face.left(), face.top(), face.right(), face.bottom()])
                return ((corners + 0.5) * scale - 0.5).astype(np.float32)
        return None

    def predict(self, grey: npt.NDArray[np.uint8], box: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The 68 landmarks of the face in a box, float32 (68, 2) in pixels. dlib gives whole pixels."""
        shape = self._predict(grey, dlib.rectangle(*np.rint(np.asarray(box)).astype(int).tolist()))
        return points_of(shape.parts())


def points_of(parts: dlib.points) -> npt.NDArray[np.float32]:
    """dlib's points as float32 (n, 2), x and y. They are read from their text, "points[(10, 56), (-3, 72)]", which
    takes a sixth of the time of reading x and y of each point."""
    text = str(parts).removeprefix("points[(").removesuffix(")]").replace("), (", ",")
    return np.fromstring(text, dtype=np.int64, sep=",").reshape(-1, 2).astype(np.float32)


def detector_box(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The box, (4,) in pixels, that dlib's detector would give for 68 landmarks: a square of 1.07 times their extent,
    centred 12 % of their height above the middle (means over 88 faces)."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    width, height = np.maximum(high - low, 1).astype(np.float64)
    centre = (low + high) / 2 - (0, 0.12 * height)
    half = 1.07 * np.sqrt(width * height) / 2
    return np.concatenate([centre - half, centre + half])


def search_sides(longer_side: int) -> list[int]:
    """The longer sides, in pixels, of the copies of a photograph that are searched in turn until a face is found.

    After the first small copy they are the photograph's own size, its halves and its doubles. So no face is missed
    that dlib finds at full size.
    """
    sides = [longer_side]
    while sides[0] >= 3 * FIRST_SIDE:
        sides.insert(0, sides[0] // 2)
    last = max(min(2 * longer_side, LARGEST_UPSAMPLED_SIDE), SMALLEST_LAST_SIDE)
    while 2 * sides[-1] <= last:
        sides.append(2 * sides[-1])
    return [FIRST_SIDE, *(side for side in sides if side != FIRST_SIDE)]


def model_path(name: str) -> Path:
    """A model file of the package face_recognition_models, found without importing it.

    (Importing it needs pkg_resources, which new Pythons lack.) Raises `MaskgenError` if it is missing.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise MaskgenError(f"the model {name} is missing; install it with: pip install face_recognition_models")


def _resized(grey: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    height, width = grey.shape
    scale = side / max(height, width)
    if scale == 1:
        return grey
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
