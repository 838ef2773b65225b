"""Photograph -> the box of its subject's face and 68 landmarks, coarse to fine: most are found on a small copy."""

from __future__ import annotations

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

from ..errors import Rejected, UsageError
from . import search
from .detectors import Detector, Hog, detector_of, model_path
from .framing import Framing
from .pixels import Pixels, pixels_of
from .search import BOXES, CENTRAL, DETECTORS, HOG
from .subject import is_certain, is_plausible, scores

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
    """Finds the face of a photograph's subject, and its 68 landmarks by dlib's shape predictor.

    The models take 100 MB of memory. Load them once and use them for many photographs. A pickled `Landmarker` holds
    only its settings: the process that unpickles it loads the models when it first uses them.

    Args:
        predictor: A dlib shape predictor of 68 points; by default the packaged one.
        face: Which of several faces is the subject's. `largest`: the largest one, wherever it is. `central`, the
            default of `maskgen build`: the face of largest area less twice its squared distance from the centre of
            the photograph, and none that is off the centre by more than 0.71 of its side.
        detector: The detectors to try in turn until the subject is found: `hog` (dlib's frontal one), `cnn` (dlib's
            convolutional one, slow), `yunet` (OpenCV's, which needs `detector_model`), and `boxes` for a box that is
            given, which is otherwise tried first. A sequence of names, or one text such as `hog,yunet`.
        detector_model: YuNet's ONNX file.

    Raises:
        UsageError: If a file is not such a model, or a name is unknown.
        MaskgenError: If the packaged model is missing.

    Example:
        >>> landmarker = maskgen.Landmarker()
        >>> face = landmarker.find(maskgen.decode(Path("face.jpg").read_bytes()))
        >>> face.landmarks.shape
        (68, 2)
    """

    def __init__(
        self,
        predictor: Path | str | None = None,
        *,
        face: str = "largest",
        detector: str | Sequence[str] = "hog",
        detector_model: Path | str | None = None,
    ) -> None:
        self._path = Path(predictor).absolute() if predictor else None
        self._face = face
        self._names = search.names_of(detector)
        self._model = Path(detector_model).absolute() if detector_model else None
        search.check(face, self._names, self._model, (*DETECTORS, BOXES))
        _ = self._predict, self._detectors  # loads them, so that a wrong file fails here

    def __repr__(self) -> str:
        return f"Landmarker(face={self._face!r}, detector={','.join(self._names)!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("_path", "_face", "_names", "_model")}

    @cached_property
    def _detectors(self) -> list[Detector | None]:
        """The detectors in their order; None for boxes that are given."""
        order = self._names if BOXES in self._names else (BOXES, *self._names)
        return [None if name == BOXES else detector_of(name, self._model) for name in order]

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

    def load(self) -> None:
        """Loads all models now rather than when they are first used, so that processes forked later share them."""
        for detector in filter(None, self._detectors):
            detector.load()

    def find(self, image: Pixels | PillowImage.Image, box: npt.ArrayLike | None = None) -> Face | None:
        """Finds the face of a photograph's subject and its landmarks.

        With a `box` nothing is detected, and the landmarks are fitted to that face in two passes. Boxes of other
        detectors lie differently around a face than dlib's, which the predictor was trained on. So the landmarks of
        the first pass give a box like dlib's for the second, which nearly halves the error of loose boxes.

        Args:
            image: uint8 (height, width) grey or (height, width, 3) RGB, or a Pillow image of any mode.
            box: Left, top, right and bottom of a face that is already known, in pixels.

        Returns:
            The face, or None if no face is found, or none that can be the subject's.

        Raises:
            TypeError: If the image is neither an array nor a Pillow image.
            ValueError: If the image or the box has another form.
        """
        image = pixels_of(image)
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or not image.size:
            raise ValueError(f"the image is {image.dtype} {image.shape}; give uint8 (height, width) or (..., 3)")
        if box is not None and not (np.shape(box) == (4,) and (np.abs(np.asarray(box, float)) < 1e6).all()):
            raise ValueError(f"the box is {box}; give x0, y0, x1, y1 in pixels")
        [found] = self.find_all([image], [box])
        return None if isinstance(found, Rejected) else found

    def find_all(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        boxes: Sequence[npt.ArrayLike | None],
        step: Callable[[int], AbstractContextManager[object]] = nullcontext,
        framing: Framing | None = None,
    ) -> list[Face | Rejected]:
        """The face in each photograph with its box, or why there is none: `no_face` or `no_central_face`.

        The steps for photograph n run in `step(n)`. `framing` is that of the shard that the photographs belong to: if
        its faces are small in their frames, the middle is searched first.

        The landmarks of a face read about 4 MB, scattered over a model of 65 MB. If they are computed one after the
        other, half of that is in the processor's cache; between detection, drawing and encoding, none of it is.
        """
        greys = [image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        found: list[tuple[npt.NDArray[np.float32], bool] | Rejected] = []
        for number, (image, grey, box) in enumerate(zip(images, greys, boxes, strict=True)):
            with step(number):
                found.append(self._search(image, grey, box, framing))
        faces: list[Face | Rejected] = []
        for number, (grey, face) in enumerate(zip(greys, found, strict=True)):
            if isinstance(face, Rejected):
                faces.append(face)
                continue
            area, like_predictor = face
            with step(number):
                landmarks = self.predict(grey, area)
                if not like_predictor:
                    landmarks = self.predict(grey, detector_box(landmarks))
            faces.append(Face(area, landmarks))
        return faces

    def detect(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
        """The box of the subject's face, float32 (4,) x0, y0, x1, y1 in pixels. It may extend beyond the picture."""
        found = self._search(image, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        return None if isinstance(found, Rejected) else found[0]

    def _search(
        self,
        image: npt.NDArray[np.uint8],
        grey: npt.NDArray[np.uint8],
        box: npt.ArrayLike | None = None,
        framing: Framing | None = None,
    ) -> tuple[npt.NDArray[np.float32], bool] | Rejected:
        """The box of the subject's face, and whether it lies as the predictor expects; or why there is none.

        The next detector is asked if one finds no face that can be the subject's.
        """
        height, width = grey.shape
        beside: npt.NDArray[np.float64] | None = None
        for detector in self._detectors:
            if detector is None:
                if box is not None:
                    return np.asarray(box, dtype=np.float32), False
                continue
            if framing and isinstance(detector, Hog) and self._face == CENTRAL:
                middle = framing.face_in_middle(detector, grey)
                if middle is not None:
                    return middle.astype(np.float32), True
            best, score = self._best(detector, image, grey)
            if best is not None and is_plausible(score):
                return best.astype(np.float32), detector.like_predictor
            beside = beside if best is None else best
        if beside is None:
            kind = "frontal face" if self._names == (HOG,) else "face"
            return Rejected("no_face", f"no {kind} found in {width} x {height} pixels")
        place = ", ".join(str(round(value)) for value in beside.tolist())
        return Rejected(
            "no_central_face",
            f"the face at {place} is not at the centre of {width} x {height} pixels; --face largest takes it",
        )

    def _best(
        self, detector: Detector, image: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float64] | None, float]:
        """The best face that a detector finds, with its score: of the first copy that shows one in the middle of the
        photograph, or of all copies."""
        height, width = grey.shape
        best, highest = None, -np.inf
        for side in detector.sides(max(height, width)):
            boxes = detector.find(image, grey, side)
            if not len(boxes):
                continue
            ranked = scores(boxes, width, height, self._face)
            first = int(ranked.argmax())
            if is_certain(boxes[first], width, height, self._face):
                return boxes[first], float(ranked[first])
            if ranked[first] > highest:
                best, highest = boxes[first], float(ranked[first])
        return best, highest

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
