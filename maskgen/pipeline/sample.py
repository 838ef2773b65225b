"""Photographs through decoding, landmarks, outlines, rendering and encoding: a sample each, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np

from ..dataset.record import Row
from ..errors import Rejected
from ..imaging import seeding
from ..imaging.decode import decode
from ..imaging.fit import fit
from ..imaging.landmarks import Face, Landmarker
from ..imaging.outline import Undrawable, outline
from ..imaging.render import Image, coverage, paint_each
from .build_settings import BuildSettings

INNER_FACE = slice(27, 68)
"""Landmarks of nose, eyes and mouth: all must lie in the frame. The jaw may leave it; its mask is cut off there."""


GROUP = 32
"""Photographs that go through each step together; see `Landmarker.find_all`."""

GROUP_BYTES = 32 << 20
"""A group ends early where its photographs, decoded, reach this size: workers stay small."""


def make_sample(data: bytes, planned: dict[str, Any], build: BuildSettings, landmarker: Landmarker) -> Row:
    """Makes the sample of one photograph from its file's bytes and its row of the plan.

    Raises `Rejected` with a reason of `decode`, or `no_face`, `cut_by_frame`, `not_frontal`, `too_large`.
    """
    [(_, made)] = make_samples([(planned, data)], build, landmarker)
    if isinstance(made, Rejected):
        raise made
    return made


def make_samples(
    photographs: Iterable[tuple[dict[str, Any], bytes | Rejected]], build: BuildSettings, landmarker: Landmarker
) -> Iterator[tuple[dict[str, Any], Row | Rejected]]:
    """What `make_sample` makes of each photograph or why it cannot, in their order, with the row of the plan.

    A photograph is its row of the plan and its file's bytes; one rejected before stays so.
    """
    rows: list[dict[str, Any]] = []
    images: list[Image | Rejected] = []
    for planned, data in photographs:
        rows.append(planned)
        images.append(data if isinstance(data, Rejected) else _decoded(data))
        if len(rows) == GROUP or sum(image.nbytes for image in images if isinstance(image, np.ndarray)) > GROUP_BYTES:
            yield from _make_group(rows, images, build, landmarker)
            rows, images = [], []
    yield from _make_group(rows, images, build, landmarker)


def _decoded(data: bytes) -> Image | Rejected:
    try:
        return decode(data)
    except Rejected as rejected:
        return rejected


def _make_group(
    rows: list[dict[str, Any]], images: list[Image | Rejected], build: BuildSettings, landmarker: Landmarker
) -> Iterator[tuple[dict[str, Any], Row | Rejected]]:
    usable = [(image, row["face"]) for row, image in zip(rows, images, strict=True) if isinstance(image, np.ndarray)]
    faces = iter(landmarker.find_all([image for image, _ in usable], [box for _, box in usable]))
    for row, image in zip(rows, images, strict=True):
        if isinstance(image, Rejected):
            yield row, image
            continue
        try:
            sample = _draw_all(image, next(faces), row, build)
        except Rejected as rejected:
            yield row, rejected
        else:
            yield row, sample


def _draw_all(image: Image, face: Face | None, planned: dict[str, Any], build: BuildSettings) -> Row:
    """The sample of a decoded photograph.

    Masks are drawn on the photograph as it looks after its own JPEG encoding, and the unmasked picture is encoded
    from those pixels too. So `recipe`, which stores that first JPEG, renders the very pixels that `rendered`
    encodes, and masked and unmasked pictures have the same number of encodings behind them.
    """
    height, width = image.shape[:2]
    if face is None:
        raise Rejected("no_face", f"no frontal face found in {width} x {height} pixels")
    inner = face.landmarks[INNER_FACE]
    if inner.min() < 0 or (inner >= (width, height)).any():
        raise Rejected("cut_by_frame", "eyes, nose or mouth lie outside the photograph")

    fitted = fit(image, build.size, build.fit, face.box)
    box, landmarks = fitted.points(face.box.reshape(2, 2)).ravel(), fitted.points(face.landmarks)
    height, width = fitted.image.shape[:2]
    drawn = seeding.variant_of(build.seed, planned["source"]) if build.variants == "random" else None
    masks = {name: drawn or name for name in build.masked_names}
    colors = {
        name: seeding.color_of(build.seed, planned["source"], variant, build.palette) for name, variant in masks.items()
    }
    try:
        outlines = [outline(landmarks, variant) for variant in masks.values()]
    except Undrawable as error:
        raise Rejected("not_frontal", str(error)) from None

    photograph = _encode(cv2.cvtColor(fitted.image, cv2.COLOR_RGB2BGR), build.quality)
    pictures = {"unmasked": photograph}
    if build.store == "rendered":
        bgr: Image = cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR_BGR)
        pictures["unmasked"] = _encode(bgr, build.quality)
        painted = paint_each(bgr, coverage(outlines, width, height), [colors[name][::-1] for name in masks])
        pictures |= {name: _encode(picture, build.quality) for name, picture in zip(masks, painted, strict=True)}
    return Row(
        planned["key"],
        planned["source"],
        planned["identity"],
        planned["split"],
        planned["label"],
        width,
        height,
        box,
        landmarks,
        drawn,
        colors,
        pictures,
    )


def _encode(bgr: Image, quality: int) -> bytes:
    done, data = (
        cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality]) if max(bgr.shape) < 65_500 else (0, None)
    )
    if data is None or not done:
        raise Rejected("too_large", f"{bgr.shape[1]} x {bgr.shape[0]} pixels do not fit into a JPEG; set --size")
    return bytes(data)
