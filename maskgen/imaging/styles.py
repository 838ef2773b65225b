"""The style of a mask: flat as NIST draws it, fabric, or a texture; and one way to draw any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import cloth, fabric
from .outline import Points
from .render import Image, coverage, paint_each
from .seeding import digest
from .textures import Texture
from .variants import STYLES

STRAPS = ((240, 240, 236), (240, 240, 236), (24, 24, 26))
"""Colours of straps that are not made of the cloth itself: white twice as often as black."""


@dataclass(frozen=True)
class Style:
    """How masks look. The outline of a mask is the same in every style.

    Everything that a style draws at random, such as folds, straps and which texture, follows from the seed, the name
    of the photograph and the variant.

    Args:
        name: `flat` is one colour, as NIST draws masks. `fabric` is cloth in that colour, lit as the face is, with
            folds and straps: a surgical mask, a cloth mask or a respirator. `texture` prints pictures on the cloth.
        seed: Of what is drawn at random.
        textures: The pictures of the style `texture`, as `read_textures` gives them.

    Raises:
        ValueError: There is no such style, or `texture` without textures.

    Example:
        >>> masked = maskgen.draw(image, landmarks, "wide_high", (158, 207, 240), maskgen.Style("fabric"))
    """

    name: str = "flat"
    seed: int = 0
    textures: tuple[Texture, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in STYLES:
            raise ValueError(f"no style {self.name!r}; choose one of {', '.join(STYLES)}")
        if (self.name == "texture") != bool(self.textures):
            raise ValueError("the style texture needs textures, and no other style takes them; see read_textures")

    def cloth(self, source: str, variant: str, color: Sequence[int], width: float) -> cloth.Cloth:
        """The cloth of one mask, so many pixels wide, on the photograph of that name."""
        drawn = digest(self.seed, "style", variant, source)
        # Straps of its own cloth have masks of cloth; others have white or black ones.
        strap = STRAPS[drawn[2] % len(STRAPS)]
        if self.name == "texture":
            picture = self.textures[int.from_bytes(drawn[8:], "big") % len(self.textures)].level(width)
            return cloth.Cloth(fabric.shading("plain", drawn[1] % fabric.VARIATIONS), color, picture, False, strap)
        look = fabric.LOOKS[int.from_bytes(drawn[4:8], "big") % len(fabric.LOOKS)]
        shade = fabric.shading(look, drawn[1] % fabric.VARIATIONS)
        return cloth.Cloth(shade, color, None, bool(drawn[3] & 1), color if look == "cloth" else strap)


FLAT = Style()


def draw_each(
    image: Image,
    landmarks: npt.NDArray[np.generic],
    variants: Sequence[str],
    outlines: Sequence[Points],
    colors: Sequence[Sequence[int]],
    style: Style = FLAT,
    source: str = "",
) -> Iterator[Image]:
    """Yields a photograph with each mask: variants, their outlines on that face, and their colours.

    `image` is RGB. It may be the same array each time, reused for the next one.
    """
    if style.name == "flat":
        return paint_each(image, coverage(outlines, image.shape[1], image.shape[0]), colors)
    cloths = [
        style.cloth(source, variant, color, float(np.ptp(polygon[:, 0])))
        for variant, polygon, color in zip(variants, outlines, colors, strict=True)
    ]
    return cloth.lay_each(image, landmarks.astype(np.float64), outlines, cloths)
