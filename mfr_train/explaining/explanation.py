"""The result of `mfr explain`, and its tables."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgen import settings as declared
from maskgen.errors import MaskgenError
from maskgen.version import __version__

from ..evaluation.measurement import Measurement
from ..notebook import html_table
from .explain_settings import ExplainSettings
from .shares import REGIONS, PictureShares

SUMMARY, MAPS, SHARES = "explanation.json", "maps.parquet", "shares.parquet"

PEOPLE, MEANS, CURVE_PLOT = "people", "means", "curves"
"""The names of the figures, without their endings."""

DIFFERENCE = "masked - unmasked"
"""The difference between the two pictures of each photograph."""

UNIFORM = "uniform map"
"""What a map with the same value everywhere would give: the share of the picture that a region covers."""


@dataclass(frozen=True)
class Explained:
    """One model.

    Attributes:
        name: Its name.
        method: `gradcam` or `occlusion`.
        fingerprint: Hash of every number that shapes its embeddings.
    """

    name: str
    method: str
    fingerprint: str


@dataclass(frozen=True)
class Share:
    """How much of the attention of one model lies in a region: the mean over subjects.

    Attributes:
        model: Its name, or `uniform map`.
        picture: `unmasked`, `masked`, or `masked - unmasked`, the difference between the two of each photograph.
        region: `in_mask`, inside the outline of the mask, also where it would be in the unmasked picture; or
            `above_eyes`, on the forehead's side of the line through the eyes.
        value: From 0 to 1; a difference from -1 to 1.
        versus_first: This model's value minus that of the first model on the same photographs.
    """

    model: str
    picture: str
    region: str
    value: Measurement
    versus_first: Measurement | None = None


@dataclass(frozen=True)
class Faithfulness:
    """What the maps of one model tell about its embedding: areas under deletion and insertion curves.

    Attributes:
        model: Its name.
        curve: `deletion`, whose area is small for a good map, or `insertion`, whose area is large.
        area: That of its maps, the mean over subjects.
        random: That of maps with the same values at random places.
        difference: The first minus the second, picture by picture.
        similarities: The mean curve of its maps, from no pixel to all.
        random_similarities: That of the random maps.
    """

    model: str
    curve: str
    area: Measurement
    random: Measurement
    difference: Measurement
    similarities: tuple[float, ...]
    random_similarities: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where models look in unmasked and masked pictures of the same photographs.

    Attributes:
        settings: The settings that it was made with.
        data: The data set.
        models: The models.
        shares: The shares of attention, by model, picture and region.
        faithfulness: Deletion and insertion, by model; empty with `curves=0`.
        subjects: The number of people.
        photographs: The number of photographs.
        out: The folder that holds pictures and tables.
        notes: Sentences about what limits it.
    """

    settings: ExplainSettings
    data: str
    models: list[Explained]
    shares: list[Share]
    faithfulness: list[Faithfulness]
    subjects: int
    photographs: int
    out: Path
    notes: list[str]

    def share(self, model: str, picture: str, region: str) -> Share:
        """One of the shares. Raises `KeyError` if there is no such model, picture or region."""
        for each in self.shares:
            if (each.model, each.picture, each.region) == (model, picture, region):
                return each
        raise KeyError((model, picture, region))

    def __repr__(self) -> str:
        names = ", ".join(each.name for each in self.models)
        return f"<Explanation of {names} on {self.data}: {self.subjects} subjects, {self.photographs} photographs>"

    def _repr_html_(self) -> str:
        head, rows = share_table(self)
        return html_table(head, rows)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values; what cannot be measured is null."""
        return {
            "maskgen": __version__,
            "data": self.data,
            "subjects": self.subjects,
            "photographs": self.photographs,
            "models": [vars(each) for each in self.models],
            "shares": [
                {
                    "model": each.model,
                    "picture": each.picture,
                    "region": each.region,
                    **_number(each.value),
                    "versus_first": None if each.versus_first is None else _number(each.versus_first),
                }
                for each in self.shares
            ],
            "faithfulness": [
                {
                    "model": each.model,
                    "curve": each.curve,
                    "area": _number(each.area),
                    "random": _number(each.random),
                    "difference": _number(each.difference),
                    "similarities": each.similarities,
                    "random_similarities": each.random_similarities,
                }
                for each in self.faithfulness
            ],
            "notes": self.notes,
            "settings": declared.jsonable(self.settings),
        }

    def write(self, folder: Path) -> None:
        """Writes explanation.json. Raises `OSError` if that is not possible."""
        text = json.dumps(self.as_json(), indent=1, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")


def _number(value: Measurement) -> dict[str, Any]:
    ends = value.interval
    return {"value": value.value if math.isfinite(value) else None, "interval": None if ends is None else list(ends)}


def share_table(explanation: Explanation) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the shares: a row for each model and picture, in percent with intervals."""
    rows = []
    for model in [*(each.name for each in explanation.models), UNIFORM]:
        pictures = list(dict.fromkeys(each.picture for each in explanation.shares if each.model == model))
        for picture in pictures:
            cells = [percent(explanation.share(model, picture, region).value) for region in REGIONS]
            rows.append([model, picture, *cells])
    return ["model", "picture", "in the mask %", "above the eyes %"], rows


def versus_table(explanation: Explanation) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the differences from the first model, in points with intervals."""
    rows = [
        [each.model, each.picture, *(percent(other) for other in found)]
        for each in explanation.shares
        if each.versus_first is not None and each.region == REGIONS[0]
        for found in [[explanation.share(each.model, each.picture, region).versus_first for region in REGIONS]]
    ]
    return ["model", "picture", "in the mask", "above the eyes"], rows


def faithfulness_table(explanation: Explanation) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the areas under the curves."""
    rows = [
        [each.model, each.curve, f"{each.area.value:.3f}", f"{each.random.value:.3f}", _plain(each.difference)]
        for each in explanation.faithfulness
    ]
    return ["model", "curve", "area", "random map", "difference"], rows


def percent(value: Measurement | None) -> str:
    """A share as text with its interval, in percent."""
    if value is None or not math.isfinite(value):
        return "-"
    ends = "" if value.interval is None else " [{:.1f}, {:.1f}]".format(*(100 * end for end in value.interval))
    return f"{100 * value.value:.1f}{ends}"


def _plain(value: Measurement) -> str:
    ends = "" if value.interval is None else " [{:+.3f}, {:+.3f}]".format(*value.interval)
    return f"{value.value:+.3f}{ends}"


def shares_as_arrow(found: Sequence[PictureShares]) -> pa.Table:
    """A row for each model, photograph and picture; a share that cannot be measured is null."""
    columns: dict[str, list[Any]] = {
        name: [getattr(each, name) for each in found] for name in ("model", "key", "subject", "picture", "mask")
    }
    for region in REGIONS:
        values = [each.shares[region] for each in found]
        columns[region] = [value if math.isfinite(value) else None for value in values]
        columns[f"{region}_area"] = [each.areas[region] for each in found]
    floats = [name for name in columns if name.startswith(REGIONS)]
    return pa.table(
        {name: pa.array(values, pa.float64() if name in floats else None) for name, values in columns.items()}
    )


class MapWriter:
    """Writes maps into a Parquet file as they are made: `with MapWriter(path) as writer: writer.add(...)`.

    Columns: model, method, key, subject, picture, mask (text), height, width (int32), map (list of float32, row by
    row).
    """

    SCHEMA = pa.schema(
        [
            *((name, pa.string()) for name in ("model", "method", "key", "subject", "picture", "mask")),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("map", pa.list_(pa.float32())),
        ]
    )
    ROWS = 64

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        # Neighbouring pixels differ in their last bits only: bytes of the same place compress well together.
        split = {"map.list.element": "BYTE_STREAM_SPLIT"}
        self.writer = pq.ParquetWriter(
            path, self.SCHEMA, compression="zstd", use_dictionary=False, column_encoding=split
        )
        self.rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], attention: Any) -> None:
        """One map, float32 (height, width), with the other columns but its size."""
        height, width = attention.shape
        self.rows.append({**row, "height": height, "width": width, "map": attention.ravel()})
        if len(self.rows) >= self.ROWS:
            self._flush()

    def _flush(self) -> None:
        if self.rows:
            self.writer.write_table(pa.Table.from_pylist(self.rows, schema=self.SCHEMA))
            self.rows = []

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._flush()
        finally:
            self.writer.close()


def read_maps(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of maps, each with its map as float32 (height, width). Raises `MaskgenError` on damage."""
    import numpy as np
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, schema=MapWriter.SCHEMA).to_pylist()
        return [{**row, "map": np.array(row["map"], np.float32).reshape(row["height"], row["width"])} for row in rows]
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise MaskgenError(f"cannot read the maps {path} ({type(error).__name__}); make them again.") from None
