"""maskgen: from a folder of face photographs to a synthetic masked face data set.

maskgen.build(src="photographs", out="smfd")
for row in maskgen.open("smfd"):
    row.identity, row.image("wide_high")
"""

from .build import Summary, build
from .build_settings import BuildSettings
from .errors import MaskgenError, UsageError
from .landmarks import Face, Landmarker
from .outline import VARIANTS, Undrawable, outline
from .render import draw
from .shards.reader import Dataset, Row, Shard, open

__all__ = [
    "VARIANTS",
    "BuildSettings",
    "Dataset",
    "Face",
    "Landmarker",
    "MaskgenError",
    "Row",
    "Shard",
    "Summary",
    "Undrawable",
    "UsageError",
    "build",
    "draw",
    "open",
    "outline",
]
