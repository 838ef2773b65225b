"""How many cases each fuzz target runs, and the edits that make cases of a file."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import HealthCheck, settings

CASES = {
    "photograph": 2000,
    "tar of photographs": 750,
    "Parquet of photographs": 300,
    "RecordIO pack and its index": 750,
    "damaged source, built": 40,
    "boxes CSV": 1000,
    "draws": 1000,
    "protocol CSV": 1000,
    "list of pairs": 1000,
    "embeddings in Parquet": 300,
    "embeddings in npz": 750,
    "--config TOML": 1000,
    "command with --config TOML": 900,
    "dataset.json": 120,
    "marker": 120,
    "plan.parquet": 120,
    "shard in Parquet": 120,
    "shard in tar": 300,
    "rejects.parquet": 120,
    "report.json": 600,
    "scores of an evaluation": 300,
    "figures of an ablation": 300,
    "settings.json and identities.json": 400,
    "weights in safetensors": 400,
    "embedding in safetensors": 120,
    "learning curve": 200,
}
"""Cases of `make test-all`, by reader; `--soak N` runs N times as many, and `make test` one in `QUICK`."""

QUICK = 5
TIMES, PARTS = 1, 1
"""Of `CASES`, N times are run with `--soak N`, and one in `QUICK` without the slow tests (tests/conftest.py)."""


def cases_of(reader: str) -> int:
    """How many cases of a reader this run has."""
    return examples(CASES[reader]) * TIMES


def examples(count: int) -> int:
    """How many examples of a hypothesis test this run draws, if `make test-all` draws so many."""
    return max(count // PARTS, 10)


Cases = Callable[..., list[bytes]]


def one_sentence(error: Exception) -> None:
    assert "\n" not in str(error), str(error)
    assert str(error).endswith("."), str(error)


def hypothesis_settings(reader: str) -> settings:
    """Settings of a hypothesis test that runs the cases of a reader."""
    return settings(max_examples=cases_of(reader), deadline=None, suppress_health_check=list(HealthCheck))


TOKENS = (
    *(b"", b"\0", b'"', b",", b"\n", b"\r", b"=", b"[", b"]", b"#", b"'", b"../", b"true", b"{x=1}", b"1979-05-27"),
    *(b"nan", b"inf", b"-inf", b"1e400", b"99999999999999999999", b"-9223372036854775809"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\u0000", b"\\n", b"[" * 3000, b'{"a":' * 3000),
    *(b"\x1b[31m", b"\xff\xff\xff\x7f", b"null", b"-1", b"/etc/x", b"NaN", b"{}"),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few random edits: bits flipped, parts cut, copied or repeated, hostile tokens put in."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(5):
            case 0 if found:
                found[place % len(found)] ^= 1 << chance.randrange(8)
            case 1:
                del found[place : place + chance.randrange(1, 40)]
            case 2:
                found[place:place] = chance.choice(TOKENS)
            case 3:
                begin = chance.randrange(len(found) + 1)
                found[place:place] = found[begin : begin + chance.randrange(1, 60)]
            case _:
                found[place : place + 2] = chance.randbytes(chance.randrange(1, 6))
    return bytes(found)


REPORT = """{
 "settings": {"scenario": "U-M", "bootstrap": 0, "seed": 1},
 "model": {"name": "run", "fingerprint": "ab12"},
 "data": {"name": "smfd", "subjects": 2, "photographs": 4, "failures": {"no_face": 1}},
 "scenarios": [{"scenario": "U-M", "group": "", "binned": false, "figures": {"genuine": 4.0, "impostor": 8.0,
  "fmr100": {"fnmr": 0.5, "fmr": 0.0, "threshold": 0.3}, "fmr10": {"fnmr": 0.25, "fmr": 0.0, "threshold": 0.2},
  "nearest_fmr100": {"fnmr": 0.5, "fmr": 0.0, "threshold": null},
  "eer": {"eer": 0.25, "low": 0.25, "high": 0.25, "threshold": 0.25}, "auc": 0.9, "gmean": 0.6, "imean": 0.1,
  "bounds": {}}, "intervals": {"intervals": {"eer": [0.1, 0.4]}, "bound": {}, "resamples": 100},
  "fewer_than_30_errors": {"eer": 1.0}, "at_thresholds_of_uu": {},
  "accuracy": {"mean": 0.75, "standard_error": 0.25, "folds": [0.5, 1.0], "thresholds": [0.25, null]}}],
 "breakdown": [], "notes": ["one"],
 "pairs": {"file": "pairs.txt", "genuine": 3, "impostor": 2, "failed": {"no_face": 1}, "failed_genuine": 1}
}
"""
"""A small report of `mfr eval --pairs`, with some intervals missing."""
