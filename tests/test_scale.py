"""docs/scale.md is what benchmarks/scale.py prints; its arithmetic against figures worked out by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scale() -> Iterator[Any]:
    """The script as a module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import scale  # type: ignore[import-not-found]

        yield scale
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_the_page_is_what_the_script_prints(scale: Any) -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    generated = page.partition(scale.BEGIN)[2].partition(scale.END)[0]
    assert generated == scale.tables(json.loads(scale.RECORD.read_text())), "run `python benchmarks/scale.py --write`"
    for name in ("VGGFace2", "MS1MV3", "Glint360K"):
        assert generated.count(f"| {name}") == 2, "a line for each store"


def test_the_arithmetic(scale: Any) -> None:
    record = {
        "costs": {"crops": {"rendered": {"seconds": 0.0036, "bytes": 40_000, "rows": 0.95}}},
        "plan_seconds": 9e-6,
        "plan_bytes": 20,
    }
    # 2,000,300 photographs: 200,030 for tests, 1,800,270 for training, of which 360,054 for validation.
    need = scale.needs(scale.FaceSet("two million", 2_000_300, 0.1, "crops"), "rendered", record)
    assert need.core_hours == pytest.approx(2.0003)  # 2,000,300 x 3.6 ms = 7,201 s
    assert need.planning_hours == pytest.approx(0.00500075)  # 18 s
    assert need.shards == 201 + 361 + 1441
    assert need.gigabytes == pytest.approx(80.052006)  # 2,000,300 x 40,020 bytes
    assert need.masked == 11_401_710  # 6 x 0.95 x 2,000,300


def test_hours_are_planning_and_shared_core_hours(scale: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {store: {"seconds": 0.0036, "bytes": 40_000, "rows": 1.0} for store in scale.STORES}
    record = {
        "date": "2026-01-01",
        "photographs": 10,
        "others": 0.0,
        "costs": dict.fromkeys(scale.KINDS, costs),
        "second_worker": 1.8,
        "plan_seconds": 3.6e-6,
        "plan_bytes": 0,
        "worker_mb": 250,
    }
    monkeypatch.setattr(scale, "SETS", (scale.FaceSet("large", 100_000_000, 0.1, "crops"),))
    line = next(line for line in scale.tables(record).splitlines() if line.startswith("| large"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # 100 core hours and 0.1 of planning; 8 cores at 0.9 of one core alone: 100 / 7.2 + 0.1; a day leaves 23.9 hours.
    assert cells[3:7] == ["100.0", "14.0", "1.8", "5"]
