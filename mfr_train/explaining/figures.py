"""The figures of `mfr explain`: people by models, mean maps, and deletion and insertion curves, as PNG and SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.errors import shown
from maskgen.imaging.align import PLACES, five_points, similarity

from ..evaluation.scenarios import RANDOM as MASKED
from ..evaluation.scenarios import UNMASKED
from ..figure import COLORS, COLUMN, FORMATS, PAGE, label, save, styled
from ..networks.backbone import Image
from .explanation import CURVE_PLOT, MEANS, PEOPLE, Explanation
from .faithfulness import CURVES

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

PICTURES = (UNMASKED, MASKED)

MARGIN, FRAME = 16, 144
"""Mean maps are drawn in a frame of `FRAME` pixels around ArcFace's aligned face, whose places move by `MARGIN`."""

BRIGHTEST = 0.995
"""The share of all values that is below the upper end of the colour scale."""

COLOURS = "inferno"


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture of a person with its relative map of each model, and the outline of its mask (n, 2)."""

    picture: str
    image: Image
    outline: Points
    maps: dict[str, Floats] = field(default_factory=dict)


class MeanMaps:
    """The mean of relative maps and of pictures, with eyes, nose and mouth of all faces at the same places."""

    def __init__(self) -> None:
        self.maps: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
        self.faces: dict[str, npt.NDArray[np.float64]] = {}
        self.counts: dict[str, int] = {}

    def add_picture(self, picture: str, image: Image, landmarks: Floats) -> None:
        self.counts[picture] = self.counts.get(picture, 0) + 1
        self.faces[picture] = self.faces.get(picture, np.zeros(())) + _framed(image.astype(np.float32), landmarks)

    def add_map(self, model: str, picture: str, attention: Floats, landmarks: Floats) -> None:
        self.maps[model, picture] = self.maps.get((model, picture), np.zeros(())) + _framed(attention, landmarks)

    def face(self, picture: str) -> Image:
        return (self.faces[picture] / self.counts[picture]).round().clip(0, 255).astype(np.uint8)

    def map(self, model: str, picture: str) -> Floats:
        return (self.maps[model, picture] / self.counts[picture]).astype(np.float32)


def _framed(values: Floats, landmarks: Floats) -> npt.NDArray[np.float64]:
    matrix = similarity(five_points(landmarks), PLACES + MARGIN)
    return cv2.warpAffine(values, matrix, (FRAME, FRAME)).astype(np.float64)


def relative(attention: Floats) -> Floats:
    """A map as multiples of a uniform one: its mean is 1, or all is 0."""
    mean = float(attention.mean(dtype=np.float64))
    return attention / np.float32(mean) if mean > 0 else np.zeros_like(attention)


@styled
def people(seen: Sequence[Sequence[Seen]], models: Sequence[str], folder: Path) -> None:
    """The paper's Figure 5: a row for each model, two columns for each person, one colour scale.

    The first row shows the pictures themselves. The outline is that of the mask, also where it would be.
    """
    columns = [each for person in seen for each in person]
    values = np.concatenate([each.maps[model].ravel() for each in columns for model in models])
    top = _top(values)
    figure, axes = _figure(len(models) + 1, len(columns), PAGE if len(columns) > 4 else COLUMN)
    for column, each in enumerate(columns):
        axes[0, column].imshow(each.image)
        axes[0, column].set_title(each.picture, fontsize=7)
        for row, model in enumerate(models, 1):
            drawn = _heat(axes[row, column], each.image, each.maps[model], top)
            _outline(axes[row, column], each.outline)
    _labelled(figure, axes, ["", *models], drawn)
    save(figure, folder / PEOPLE, FORMATS)


@styled
def means(found: MeanMaps, models: Sequence[str], folder: Path) -> None:
    """The mean map of each model over all photographs, on the mean picture, one colour scale."""
    top = _top(np.concatenate([found.map(model, picture).ravel() for model in models for picture in PICTURES]))
    figure, axes = _figure(len(models), len(PICTURES), COLUMN)
    for row, model in enumerate(models):
        for column, picture in enumerate(PICTURES):
            drawn = _heat(axes[row, column], found.face(picture), found.map(model, picture), top)
            axes[0, column].set_title(picture, fontsize=7)
    _labelled(figure, axes, models, drawn)
    save(figure, folder / MEANS, FORMATS)


@styled
def curves(explanation: Explanation, folder: Path) -> None:
    """Mean deletion and insertion curves of each model, beside those of random maps."""
    models = [each.name for each in explanation.models]
    figure, axes = _figure(len(models), len(CURVES), PAGE if len(models) > 4 else COLUMN, bare=False)
    for each in explanation.faithfulness:
        axis = axes[models.index(each.model), CURVES.index(each.curve)]
        share = np.linspace(0, 1, len(each.similarities))
        axis.plot(share, each.similarities, color=COLORS[1])
        axis.plot(share, each.random_similarities, color="0.5", linestyle="--")
        falls = each.curve == CURVES[0]  # the corner that its curves leave free
        for line, (kind, area, color) in enumerate(
            (("map", each.area.value, COLORS[1]), ("random map", each.random.value, "0.4"))
        ):
            place = (0.97, 0.97 - 0.11 * line) if falls else (0.97, 0.24 - 0.11 * line)
            axis.text(
                *place,
                f"{kind}: area {area:.3f}",
                transform=axis.transAxes,
                ha="right",
                va="top",
                color=color,
                fontsize=6,
            )
        changed = "painted over" if each.curve == CURVES[0] else "uncovered"
        axis.set_title(label(f"{shown(each.model)}: {each.curve}"), loc="left", fontsize=7)
        axis.set(xlabel=f"share {changed}", ylabel="similarity")
        axis.grid()
        axis.label_outer()
    save(figure, folder / CURVE_PLOT, FORMATS)


def _figure(rows: int, columns: int, width: float, bare: bool = True) -> tuple[Any, Any]:
    """A figure of that width in inches with square panels and room for names and a colour scale."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no window system

    figure = Figure(figsize=(width, rows * (width - 1.2) / columns + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    if bare:
        for axis in axes.ravel():
            axis.set(xticks=[], yticks=[])
            axis.set_frame_on(False)
    return figure, axes


def _heat(axis: Any, image: Image, attention: Floats, top: float) -> Any:
    """Heat over a grey picture: the more attention, the less of the picture is seen."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
    share = np.clip(attention / top, 0, 1)
    return axis.imshow(attention, cmap=COLOURS, vmin=0, vmax=top, alpha=0.15 + 0.65 * share)


def _outline(axis: Any, outline: Points) -> None:
    closed = np.concatenate([outline, outline[:1]])
    axis.autoscale(False)  # an outline may leave the picture
    axis.plot(closed[:, 0], closed[:, 1], color="white", linewidth=0.7, linestyle="--")


def _labelled(figure: Any, axes: Any, names: Sequence[str], drawn: Any) -> None:
    """Names of rows at their left, and the colour scale that all share at the right."""
    from matplotlib.cm import ScalarMappable

    for row, name in enumerate(names):
        axes[row, 0].set_ylabel("\n".join(textwrap.wrap(label(shown(name)), 18)), fontsize=7)
    scale = ScalarMappable(drawn.norm, drawn.cmap)
    scaled = "attention, as a multiple of a uniform map"
    figure.colorbar(scale, ax=axes, shrink=0.8, extend="max").set_label(scaled, fontsize=7)


def _top(values: Floats) -> float:
    """The upper end of a colour scale, above 0."""
    return max(float(np.quantile(values, BRIGHTEST)), 1e-6)
