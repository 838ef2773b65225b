"""Face detectors: a photograph, searched on copies of growing size, gives boxes of faces."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import dlib
import numpy as np
import numpy.typing as npt

from ..errors import MaskgenError, UsageError
from .search import CNN, HOG, YUNET
from .subject import Boxes

HOG_MODEL = Path(__file__).with_name("frontal_face_detector.svm")
"""What `dlib.get_frontal_face_detector().save(FILE)` writes. dlib carries it compressed, and takes half a second to
unpack it; from this file it takes 2 ms."""

FIRST_SIDE = 120
"""Longer side, in pixels, of the copy that is searched first, where faces of two thirds of it or more are found.
The cheapest of the sides from 96 to 160, with no loss of faces or precision (docs/performance.md)."""

MIDDLE_PART, MIDDLE_SIDE = 0.7, 200
"""The part of a loosely framed photograph, in width and height, that is searched first, and the longer side, in pixels,
of the copy of the whole photograph that it is cut from. Faces of two fifths of that side or more are found there."""

SMALLEST_LAST_SIDE = 448
"""Small photographs are enlarged to about this size at last: dlib's detector needs faces of about 80 pixels."""

LARGEST_UPSAMPLED_SIDE = 3000
"""Photographs are enlarged to twice their size only if that is at most this."""

CNN_SIDE = 480
"""The one copy that dlib's CNN searches. Its time grows with the pixels: here it takes a second of processor time."""

YUNET_SIDES = (320, 640)
"""YuNet was trained on pictures of 320 to 640 pixels, and finds faces of 10 to 300 pixels in them."""

YUNET_SCORE = 0.7
"""Faces of a lower score are left out. Down to 0.6, all that it found in photographs of people with masks were faces
(docs/performance.md)."""

Pixels = npt.NDArray[np.uint8]


class Detector(Protocol):
    """A detector of faces.

    Attributes:
        like_predictor: Whether its boxes lie around faces as those do that dlib's 68-point predictor was trained on.
    """

    like_predictor: bool

    def load(self) -> None:
        """Loads its model now rather than when it is first used."""

    def sides(self, longer_side: int) -> list[int]:
        """The longer sides, in pixels, of the copies of a photograph to search in turn."""

    def find(self, image: Pixels, grey: Pixels, side: int) -> Boxes:
        """The faces on the copy of that side, (n, 4): x0, y0, x1, y1 in pixels of the photograph.

        A box may extend beyond the picture. `image` is (h, w) or (h, w, 3) RGB, and `grey` the same without colour.
        """


class Hog:
    """dlib's frontal face detector: histograms of gradients, 2 ms on the first copy."""

    like_predictor = True

    @cached_property
    def _detect(self) -> Any:
        try:
            return dlib.fhog_object_detector(str(HOG_MODEL))
        except RuntimeError:  # a dlib that writes its detectors differently
            return dlib.get_frontal_face_detector()

    def load(self) -> None:
        _ = self._detect

    def sides(self, longer_side: int) -> list[int]:
        return search_sides(longer_side)

    def find(self, image: Pixels, grey: Pixels, side: int) -> Boxes:
        copy = resized(grey, side)
        return _in_photograph(_corners(self._detect(copy, 0)), copy, grey)

    def find_in_middle(self, grey: Pixels) -> Boxes:
        """The faces in the middle of a photograph, as `find` gives them.

        Its copy has hardly more pixels than the first one of the whole photograph, and shows faces of half the size.
        """
        height, width = grey.shape
        part = max(1, round(MIDDLE_PART * height)), max(1, round(MIDDLE_PART * width))
        top, left = (height - part[0]) // 2, (width - part[1]) // 2
        middle = grey[top : top + part[0], left : left + part[1]]
        copy = np.ascontiguousarray(resized(middle, round(MIDDLE_PART * MIDDLE_SIDE)))
        return _in_photograph(_corners(self._detect(copy, 0)), copy, middle) + np.array([left, top] * 2)


class Cnn:
    """dlib's convolutional detector, of the packaged model: slow without a GPU."""

    like_predictor = False

    @cached_property
    def _detect(self) -> Any:
        return dlib.cnn_face_detection_model_v1(str(model_path("mmod_human_face_detector.dat")))

    def load(self) -> None:
        _ = self._detect

    def sides(self, longer_side: int) -> list[int]:
        return [CNN_SIDE]

    def find(self, image: Pixels, grey: Pixels, side: int) -> Boxes:
        copy = resized(image, side)
        return _in_photograph(_corners([found.rect for found in self._detect(copy, 0)]), copy, grey)


class YuNet:
    """OpenCV's YuNet (Wu et al., 2023), of a model file: finds turned faces and faces with masks too.

    Raises:
        UsageError: If the file is not such a model.
    """

    like_predictor = False

    def __init__(self, model: Path) -> None:
        self._path = model
        self.load()  # so that a wrong file fails here

    @cached_property
    def _detector(self) -> Any:
        if not self._path.is_file():
            raise UsageError(f"there is no file --detector-model {self._path}; give YuNet's ONNX file.")
        data = np.fromfile(self._path, np.uint8)
        before = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(0)  # OpenCV would print a failure itself, and that it ignores a setting
        try:
            detector = cv2.FaceDetectorYN.create("onnx", data, np.empty(0, np.uint8), (64, 64), YUNET_SCORE)
            detector.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise UsageError(
                f"OpenCV cannot run --detector-model {self._path} ({error.code}); give YuNet's ONNX file."
            ) from None
        finally:
            cv2.utils.logging.setLogLevel(before)
        return detector

    def load(self) -> None:
        _ = self._detector

    def sides(self, longer_side: int) -> list[int]:
        return list(YUNET_SIDES)

    def find(self, image: Pixels, grey: Pixels, side: int) -> Boxes:
        copy = resized(image, side)
        bgr = cv2.cvtColor(copy, cv2.COLOR_GRAY2BGR if copy.ndim == 2 else cv2.COLOR_RGB2BGR)
        self._detector.setInputSize((copy.shape[1], copy.shape[0]))
        found = self._detector.detect(bgr)[1]
        if found is None:
            return np.empty((0, 4))
        corner, size = found[:, 0:2].astype(np.float64), found[:, 2:4].astype(np.float64)
        return _in_photograph(np.hstack([corner, corner + size - 1]), copy, grey)


def detector_of(name: str, model: Path | None) -> Detector:
    """The detector of this name. Raises `UsageError` for a model that is wrong."""
    makers: dict[str, Callable[[], Detector]] = {HOG: Hog, CNN: Cnn, YUNET: lambda: YuNet(model or Path())}
    return makers[name]()


def search_sides(longer_side: int) -> list[int]:
    """The longer sides, in pixels, of the copies of a photograph that the HOG detector searches in turn.

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


def resized(image: Pixels, side: int) -> Pixels:
    """A copy of a picture whose longer side is that many pixels; the picture itself if it has that size."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale == 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _corners(rectangles: Any) -> Boxes:
    found = [(one.left(), one.top(), one.right(), one.bottom()) for one in rectangles]
    return np.array(found, np.float64).reshape(-1, 4)


def _in_photograph(boxes: Boxes, copy: Pixels, whole: Pixels) -> Boxes:
    scale = np.array([whole.shape[1] / copy.shape[1], whole.shape[0] / copy.shape[0]] * 2)
    return (boxes + 0.5) * scale - 0.5
