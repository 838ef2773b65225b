"""Photograph -> face box + 68 landmarks, coarse to fine: the usual face is found on a small copy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import cv2
import dlib
import numpy as np
import numpy.typing as npt

from ..errors import MaskgenError, UsageError

FIRST_SIDE = 120
"""Longer side, in pixels, of the copy that is searched first: a face of two thirds of it or more is found there.
Of the sides from 96 to 160 it costs least at no loss of faces or of precision (docs/performance.md)."""

SMALLEST_LAST_SIDE = 448
"""Small photographs are searched up to this size or nearly: dlib's detector needs faces of about 80 pixels."""

LARGEST_UPSAMPLED_SIDE = 3000
"""Photographs are searched at twice their size unless that is more than this; then at their own size at most."""

SHAPE_PREDICTOR = "shape_predictor_68_face_landmarks.dat"


class Face(NamedTuple):
    """A face in a photograph: `box` float32 (4,) x0, y0, x1, y1 and `landmarks` float32 (68, 2), in its pixels."""

    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]


class Landmarker:
    """dlib's frontal face detector and 68-point predictor, loaded once (100 MB) and used for many photographs."""

    def __init__(self, predictor: Path | str | None = None) -> None:
        """Loads the models. `predictor` is a dlib shape predictor of 68 points; default: the packaged one.

        Raises `UsageError` for a file that is no such model, `MaskgenError` where the packaged one is missing.
        """
        path = Path(predictor) if predictor else model_path(SHAPE_PREDICTOR)
        if not path.is_file():
            raise UsageError(f"there is no landmark model {path}; give --predictor a dlib shape predictor file.")
        self._detect = dlib.get_frontal_face_detector()
        try:
            self._predict = dlib.shape_predictor(str(path))
        except RuntimeError:
            raise UsageError(f"{path} is not a dlib shape predictor; give --predictor such a file.") from None
        points = self._predict(np.zeros((9, 9), np.uint8), dlib.rectangle(0, 0, 8, 8)).num_parts
        if points != 68:
            raise UsageError(f"{path} gives {points} points; --predictor needs a dlib shape predictor of 68 points.")

    def find(self, image: npt.NDArray[np.uint8], box: npt.ArrayLike | None = None) -> Face | None:
        """The largest face of a photograph, uint8 (h, w) grey or (h, w, 3) RGB; None where there is none.

        With `box` (x0, y0, x1, y1 in pixels) nothing is detected and the landmarks are fitted to that face, twice:
        other detectors' boxes lie otherwise around a face than dlib's, which the predictor was trained on, so the
        first landmarks give a box like dlib's for the second (it nearly halves the error of loose boxes).
        Raises `ValueError` for pixels or a box of another kind.
        """
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
        """What `find` says of each photograph and its box. Each step for photograph n runs in the context `step(n)`.

        A face's landmarks read some 4 MB here and there in a model of 65 MB. Coming one after the other, they find
        half of that in the processor's cache; between detection, drawing and encoding they find none of it.
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
        """The box of the largest face: float32 (4,) x0, y0, x1, y1 in pixels, which may reach beyond the frame."""
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
        """The 68 landmarks, float32 (68, 2) pixels, of the face in a box. dlib answers in whole pixels."""
        shape = self._predict(grey, dlib.rectangle(*np.rint(np.asarray(box)).astype(int).tolist()))
        return points_of(shape.parts())


def points_of(parts: dlib.points) -> npt.NDArray[np.float32]:
    """dlib's points as float32 (n, 2), x and y. Read from their text, "points[(10, 56), (-3, 72)]", in which dlib
    writes all of them at once: a sixth of the time of asking each point for its x and its y."""
    text = str(parts).removeprefix("points[(").removesuffix(")]").replace("), (", ",")
    return np.fromstring(text, dtype=np.int64, sep=",").reshape(-1, 2).astype(np.float32)


def detector_box(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The box, (4,) pixels, that dlib's detector would put around 68 landmarks: a square of 1.07 times their extent,
    centred 12 % of their height above the middle (means over 88 faces)."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    width, height = np.maximum(high - low, 1).astype(np.float64)
    centre = (low + high) / 2 - (0, 0.12 * height)
    half = 1.07 * np.sqrt(width * height) / 2
    return np.concatenate([centre - half, centre + half])


def search_sides(longer_side: int) -> list[int]:
    """The longer sides, in pixels, of the copies of a photograph that are searched in turn until a face is found.

    After the first small copy they are the photograph's own size, its halves and its doubles: so a photograph in
    which dlib finds a face at full size never ends without one.
    """
    sides = [longer_side]
    while sides[0] >= 3 * FIRST_SIDE:
        sides.insert(0, sides[0] // 2)
    last = max(min(2 * longer_side, LARGEST_UPSAMPLED_SIDE), SMALLEST_LAST_SIDE)
    while 2 * sides[-1] <= last:
        sides.append(2 * sides[-1])
    return [FIRST_SIDE, *(side for side in sides if side != FIRST_SIDE)]


def model_path(name: str) -> Path:
    """A model file that the package face_recognition_models carries, found without importing it.

    (Importing it needs pkg_resources, which new Pythons lack.) Raises `MaskgenError` where it is missing.
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
