"""Every setting of `mfr explain`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskgen.settings import setting

from ..defaults import DEVICES, MIN_RESAMPLES

AUTO, GRADCAM, OCCLUSION = "auto", "gradcam", "occlusion"
METHODS = (AUTO, GRADCAM, OCCLUSION)

SECOND, FIRST = "second", "first"
NUMERATORS = (SECOND, FIRST)

ANY_MASK = "random"

MAX_SAMPLES = 1024


@dataclass(frozen=True)
class ExplainSettings:
    """The settings of `mfr explain`."""

    data: str = setting("smfd", help="Data set made by `maskgen build`: a folder or a URI.", metavar="DIR|URI")
    split: str = setting(
        "test", help="Split of the data set to take photographs from.", choices=("test", "val", "train")
    )
    photographs: int = setting(
        50, help="How many photographs: of as many people as possible, drawn by --seed; 0 for all.", low=0
    )
    mask: str = setting(
        ANY_MASK,
        help="The mask that each photograph wears: one drawn by --seed as in `mfr eval`, or always this variant.",
        metavar="random|VARIANT",
    )
    people: int = setting(4, help="How many people the picture of all models shows.", low=1, high=20)
    method: str = setting(
        AUTO,
        help="Smooth Grad-CAM++ for networks that end in pooling and a linear layer (gradcam), occlusion for any "
        "model; auto is gradcam where it gives a map of at least 3 x 3 positions.",
        choices=METHODS,
    )
    samples: int = setting(
        1, help="Noisy copies of a picture for Smooth Grad-CAM++; 0 for Grad-CAM++.", low=0, high=MAX_SAMPLES
    )
    noise: float = setting(
        0.1, help="Standard deviation of their noise, as a share of the range of pixel values.", low=0, high=1
    )
    numerator: str = setting(
        SECOND,
        help="Derivative in the numerator of Smooth Grad-CAM++: the second as in Grad-CAM++, or the first as in the "
        "text of Smooth Grad-CAM++.",
        choices=NUMERATORS,
    )
    normalised: bool = setting(
        True, help="Explain the embedding at length 1, as it is compared; else before it is scaled to that length."
    )
    patch: float = setting(
        0.2, help="Side of the square that occlusion covers, as a share of the picture's sides.", low=0.01, high=1
    )
    stride: float = setting(
        0.1, help="Distance from one such square to the next, as a share of the picture's sides.", low=0.01, high=1
    )
    curves: int = setting(10, help="Photographs for the deletion and insertion curves; 0 for none.", low=0)
    steps: int = setting(16, help="Steps of these curves.", low=2, high=1000)
    bootstrap: int = setting(
        1000,
        help=f"Resamples of the subjects for the 95 % intervals, at least {MIN_RESAMPLES}; 0 for none.",
        low=0,
        high=1_000_000,
    )
    seed: int = setting(0, help="Seed of the photographs, masks, noise, random maps and resamples.", low=0)
    out: Path | None = setting(
        None, help="Folder for the pictures and tables; by default runs/explain/HASH.", metavar="DIR"
    )
    device: str = setting("auto", help="Where networks other than ONNX files run.", choices=DEVICES, run_only=True)
