"""maskgen: from a folder of face photographs to a synthetic masked face data set.

maskgen.build(src="photographs", out="smfd")
for row in maskgen.open("smfd"):
    row.identity, row.image("wide_high")
"""

from typing import TYPE_CHECKING

from .lazy import attributes

if TYPE_CHECKING:
    from .builder import Summary, build
    from .dataset.reader import Dataset, Shard, open
    from .dataset.record import Row
    from .dataset.verify import verify
    from .errors import MaskgenError, Rejected, UsageError
    from .exporting.export import Exported, export
    from .imaging.decode import decode
    from .imaging.landmarks import Face, Landmarker
    from .imaging.outline import Undrawable, outline
    from .imaging.random_mask import RandomMask
    from .imaging.styles import Style, draw
    from .imaging.textures import Texture, read_textures
    from .imaging.variants import VARIANTS
    from .pipeline.build_settings import BuildSettings
    from .version import __version__

__all__ = [
    "VARIANTS",
    "BuildSettings",
    "Dataset",
    "Exported",
    "Face",
    "Landmarker",
    "MaskgenError",
    "RandomMask",
    "Rejected",
    "Row",
    "Shard",
    "Style",
    "Summary",
    "Texture",
    "Undrawable",
    "UsageError",
    "__version__",
    "build",
    "decode",
    "draw",
    "export",
    "open",
    "outline",
    "read_textures",
    "verify",
]

__getattr__, __dir__ = attributes(
    __name__,
    {
        "BuildSettings": "pipeline.build_settings",
        "Dataset": "dataset.reader",
        "Exported": "exporting.export",
        "Face": "imaging.landmarks",
        "Landmarker": "imaging.landmarks",
        "MaskgenError": "errors",
        "RandomMask": "imaging.random_mask",
        "Rejected": "errors",
        "Row": "dataset.record",
        "Shard": "dataset.reader",
        "Style": "imaging.styles",
        "Summary": "builder",
        "Texture": "imaging.textures",
        "Undrawable": "imaging.outline",
        "UsageError": "errors",
        "VARIANTS": "imaging.variants",
        "__version__": "version",
        "build": "builder",
        "decode": "imaging.decode",
        "draw": "imaging.styles",
        "export": "exporting.export",
        "open": "dataset.reader",
        "outline": "imaging.outline",
        "read_textures": "imaging.textures",
        "verify": "dataset.verify",
    },
)
