"""The settings of the search for a face, which `maskgen build`, `maskgen preview` and `mfr eval` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError

CENTRAL = "central"

FACE_CHOICES = (CENTRAL, "largest")

HOG, CNN, YUNET, BOXES = "hog", "cnn", "yunet", "boxes"

DETECTORS = (HOG, CNN, YUNET)

FACE_HELP = (
    "Which face of a photograph is its subject's: the one nearest to the centre for its size, or the largest. central "
    "rejects photographs that show faces beside the centre only."
)
DETECTOR_HELP = (
    "Face detectors to try in turn until one finds the subject: hog and cnn are dlib's, yunet is OpenCV's; cnn needs "
    "a second for each photograph, yunet needs --detector-model."
)
MODEL_HELP = "ONNX file of the face detector YuNet, for --detector yunet."


def names_of(detector: str | Sequence[str]) -> tuple[str, ...]:
    """The names of detectors in their order, of a text such as `hog,yunet` or a sequence."""
    names = detector.split(",") if isinstance(detector, str) else detector
    return tuple(str(name).strip() for name in names)


def check(face: str, names: Sequence[str], model: Path | None, known: Sequence[str] = DETECTORS) -> None:
    """Raises `UsageError` for detectors that are unknown, named twice, or without their model."""
    if face not in FACE_CHOICES:
        raise UsageError(f"--face is {face!r}; choose {' or '.join(FACE_CHOICES)}.")
    for name in names:
        if name not in known:
            raise UsageError(f"--detector has no {name!r}; choose from {', '.join(known)}, or several as in hog,yunet.")
    if len(set(names)) != len(names):
        raise UsageError(f"--detector {','.join(names)} names a detector twice; give each once.")
    if YUNET in names and model is None:
        raise UsageError("--detector yunet needs the model's ONNX file; add --detector-model FILE.")
    if model is not None and YUNET not in names:
        raise UsageError("--detector-model is the file of YuNet; add --detector yunet, or hog,yunet.")
    if model is not None and not model.is_file():
        raise UsageError(f"there is no file --detector-model {model}; give YuNet's ONNX file.")
