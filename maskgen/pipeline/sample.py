"""Photographs through decoding, landmarks, outlines, rendering and encoding: a sample each, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..dataset.record import Row
from ..errors import Rejected
from ..imaging import seeding
from ..imaging.decode import decode_with_warnings, noted
from ..imaging.fit import fit
from ..imaging.framing import Framing
from ..imaging.landmarks import Face, Landmarker
from ..imaging.limits import BYTES_PER_PIXEL, MAX_PIXELS
from ..imaging.outline import Undrawable, outline
from ..imaging.render import Image
from ..imaging.styles import FLAT, Style, draw_each
from .build_settings import BuildSettings
from .time_limit import TimeLimit

INNER_FACE = slice(27, 68)
"""Landmarks of nose, eyes and mouth: all must lie in the frame. The jaw may leave it; its mask is cut off there."""


GROUP = 32
"""Photographs that go through each step together; see `Landmarker.find_all`."""

GROUP_BYTES = 32 << 20
"""A group ends early where its photographs, decoded, reach this size: workers stay small."""


@lru_cache(maxsize=1)
def _landmarker(predictor: Path | None, face: str, detectors: tuple[str, ...], model: Path | None) -> Landmarker:
    return Landmarker(predictor, face=face, detector=detectors, detector_model=model)


def landmarker_of(build: BuildSettings) -> Landmarker:
    """What finds the faces of a build, loaded once in each process. Raises `UsageError` for a file that is no model."""
    return _landmarker(build.predictor, build.face, build.detectors, build.detector_model)


def make_sample(
    data: bytes, planned: dict[str, Any], build: BuildSettings, landmarker: Landmarker, style: Style = FLAT
) -> Row:
    """Makes the sample of one photograph from its file's bytes and its row of the plan.

    Raises `Rejected` with a reason of `decode`, or `no_face`, `no_central_face`, `cut_by_frame`, `not_frontal`,
    `too_large`.
    """
    [(_, made)] = make_samples([(planned, data)], build, landmarker, style)
    if isinstance(made, Rejected):
        raise made
    return made


def make_samples(
    photographs: Iterable[tuple[dict[str, Any], bytes | Rejected]],
    build: BuildSettings,
    landmarker: Landmarker,
    style: Style = FLAT,
    framing: Framing | None = None,
) -> Iterator[tuple[dict[str, Any], Row | Rejected]]:
    """What `make_sample` makes of each photograph of a shard or why not, in their order, with the row of the plan.

    The first photographs tell how loosely faces are framed in all of them; `framing` holds what earlier calls found. A
    photograph is its row of the plan and its file's bytes; one rejected before stays so.
    """
    group, limit, framing = list[_Decoded](), TimeLimit(build.photograph_seconds), framing or Framing()
    for planned, data in photographs:
        with limit.step(planned["key"]):
            group.append(_decoded(planned, data, build))
        if len(group) == GROUP or sum(one.bytes for one in group) > GROUP_BYTES:
            yield from _make_group(group, build, landmarker, style, limit, framing)
            group, limit = [], TimeLimit(build.photograph_seconds)
    yield from _make_group(group, build, landmarker, style, limit, framing)


class _Decoded(NamedTuple):
    """A photograph's row of the plan and its pixels, or why there are none; and the message of libjpeg."""

    row: dict[str, Any]
    image: Image | Rejected
    said: str = ""

    @property
    def bytes(self) -> int:
        return 0 if isinstance(self.image, Rejected) else self.image.nbytes


def _decoded(row: dict[str, Any], data: bytes | Rejected, build: BuildSettings) -> _Decoded:
    if isinstance(data, Rejected):
        return _Decoded(row, data)
    megabytes = build.photograph_megabytes
    try:
        return _Decoded(
            row, *decode_with_warnings(data, megabytes * 10**6 // BYTES_PER_PIXEL if megabytes else MAX_PIXELS)
        )
    except Rejected as rejected:
        return _Decoded(row, rejected)


def _make_group(
    group: list[_Decoded],
    build: BuildSettings,
    landmarker: Landmarker,
    style: Style,
    limit: TimeLimit,
    framing: Framing,
) -> Iterator[tuple[dict[str, Any], Row | Rejected]]:
    usable = [(one.row, one.image) for one in group if not isinstance(one.image, Rejected)]
    found = landmarker.find_all(
        [image for _, image in usable],
        [row["face"] for row, _ in usable],
        lambda number: limit.step(usable[number][0]["key"]),
        framing,
    )
    faces = iter(found)
    for row, image, said in group:
        made: Row | Rejected
        if isinstance(image, Rejected):
            made = image
        else:
            try:
                with limit.step(row["key"]):
                    made = _draw_all(image, next(faces), row, build, style)
            except Rejected as rejected:
                made = noted(rejected, said)
        yield row, made


def _draw_all(image: Image, face: Face | Rejected, planned: dict[str, Any], build: BuildSettings, style: Style) -> Row:
    """The sample of a decoded photograph.

    Masks are drawn on the photograph as it looks after its own JPEG encoding, and the unmasked picture is encoded
    from those pixels too. So `recipe`, which stores that first JPEG, renders the very pixels that `rendered`
    encodes, and masked and unmasked pictures have the same number of encodings behind them.
    """
    height, width = image.shape[:2]
    if isinstance(face, Rejected):
        raise face
    inner = face.landmarks[INNER_FACE]
    if inner.min() < 0 or (inner >= (width, height)).any():
        raise Rejected("cut_by_frame", "eyes, nose or mouth lie outside the photograph")

    fitted = fit(image, build.size, build.fit, face)
    box, landmarks = fitted.box(face.box), fitted.points(face.landmarks)
    height, width = fitted.image.shape[:2]
    if build.draws:  # the plan has a draw for every photograph that gets here
        drawn = planned["variant"]
    else:
        drawn = seeding.variant_of(build.seed, planned["source"]) if build.variants == "random" else None
    masks = {name: drawn or name for name in build.masked_names}
    colors = {
        name: tuple(planned["color"])
        if build.draws
        else seeding.color_of(build.seed, planned["source"], variant, build.palette)
        for name, variant in masks.items()
    }
    try:
        outlines = [outline(landmarks, variant) for variant in masks.values()]
    except Undrawable as error:
        raise Rejected("not_frontal", str(error)) from None

    photograph = _encode(fitted.image, build.quality)
    pictures = {"unmasked": photograph}
    if build.store == "rendered":
        stored: Image = cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR_RGB)
        pictures["unmasked"] = _encode(stored, build.quality)
        shades, variants = [colors[name] for name in masks], list(masks.values())
        painted = draw_each(stored, landmarks, variants, outlines, shades, style, planned["source"])
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


def _encode(image: Image, quality: int) -> bytes:
    done, data = False, None
    if max(image.shape) < 65_500:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if data is None or not done:
        raise Rejected("too_large", f"{image.shape[1]} x {image.shape[0]} pixels do not fit into a JPEG; set --size")
    return bytes(data)
