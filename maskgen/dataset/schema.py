"""The data contract: tables, columns and names that other people's tools rely on."""

from __future__ import annotations

import json

import pyarrow as pa

from ..imaging.variants import masked_names

SCHEMA_VERSION = 2
"""The version of the data sets that are built. Version 1 kept the markers beside the shards."""

READABLE_VERSIONS = (1, 2)
"""The versions that are read."""

ROWS_VERSION = 1
"""The version of the rows themselves, in the metadata of every Parquet shard: their columns have not changed since."""

SPLITS = ("train", "val", "test")

BOX = pa.list_(pa.float32(), 4)
LANDMARKS = pa.list_(pa.float32(), 136)
COLOR = pa.list_(pa.uint8(), 3)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

PLAN = pa.schema(
    [
        ("key", pa.string()),
        ("source", pa.string()),
        ("identity", pa.string()),
        ("label", pa.int32()),
        ("split", pa.string()),
        ("shard", pa.int32()),
        ("bytes", pa.int64()),
        ("problem", pa.string()),
        ("face", BOX),
    ]
)
"""Every source photograph. `bytes` is its file size; `problem` is why it can only be rejected ("reason: detail"),
or empty; `face` is its box from a boxes file, in pixels of the source, or null."""

PACKED_PLAN = pa.schema([*PLAN, ("container", pa.string()), ("container_bytes", pa.int64()), ("offset", pa.int64())])
"""A plan of photographs in containers (tars, Parquet, RecordIO). `bytes` is the photograph's; `container` is the file
that holds it, relative to the source folder, `container_bytes` that file's size, and `offset` where in it to read."""

DRAWN = (("variant", pa.string()), ("color", COLOR))
"""Two more columns of a plan that was made with a draws file: the mask and the colour of each photograph, or null."""


def plan_schema(packed: bool, drawn: bool) -> pa.Schema:
    """The schema of a plan, by whether photographs lie in containers and whether their masks come from a draws file."""
    return pa.schema([*(PACKED_PLAN if packed else PLAN), *(DRAWN if drawn else ())])


REJECTS = pa.schema([(name, pa.string()) for name in ("key", "source", "identity", "split", "reason", "detail")])
"""Every photograph not used, and why."""

_ROW_HEAD = [
    ("key", pa.string()),
    ("source", pa.string()),
    ("identity", pa.string()),
    ("split", pa.string()),
    ("label", pa.int32()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("box", BOX),
    ("landmarks", LANDMARKS),
]


def picture_names(variants: str, store: str) -> tuple[str, ...]:
    """The encoded pictures that a row of the data set carries."""
    return ("unmasked",) if store == "recipe" else ("unmasked", *masked_names(variants))


def row_schema(variants: str, store: str) -> pa.Schema:
    """The schema of a Parquet shard, with the feature metadata by which `datasets` knows an image column."""
    fields: list[tuple[str, pa.DataType]] = list(_ROW_HEAD)
    fields += [(name, IMAGE) for name in picture_names(variants, store)]
    if variants == "random":
        fields.append(("variant", pa.string()))
    fields += [(f"{name}_color", COLOR) for name in masked_names(variants)]
    features = {name: _feature(kind) for name, kind in fields}
    metadata = {"huggingface": json.dumps({"info": {"features": features}}), "maskgen": str(ROWS_VERSION)}
    return pa.schema(fields, metadata=metadata)


def is_row_schema(found: pa.Schema, variants: str, store: str) -> bool:
    """Whether a Parquet shard of a data set of these settings has the columns that it should have."""
    expected = row_schema(variants, store)
    return bool(found == expected and found.metadata == expected.metadata)


def plain_schema(variants: str, store: str) -> pa.Schema:
    """The columns of a shard that are no pictures."""
    return pa.schema([field for field in row_schema(variants, store) if field.type != IMAGE])


def _feature(kind: pa.DataType) -> dict[str, object]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_fixed_size_list(kind):
        value = {"dtype": str(kind.value_type).replace("float", "float32"), "_type": "Value"}
        return {"feature": value, "length": kind.list_size, "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}
