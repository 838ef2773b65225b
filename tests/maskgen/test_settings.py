"""Settings from Python keywords: what a wrong keyword says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from maskgen import UsageError
from maskgen.settings import from_keywords, setting


@dataclass(frozen=True)
class Example:
    out: str = setting(help="A folder.")
    shard_size: int = setting(8, help="A number.", low=1)


def test_keywords_become_settings() -> None:
    assert from_keywords(Example, {"out": "there", "shard_size": 3}) == Example("there", 3)
    assert from_keywords(Example, {"out": "there"}) == Example("there", 8)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"out": "x", "shardsize": 3}, r"^there is no setting 'shardsize'; did you mean 'shard_size'\?$"),
        ({"out": "x", "shard-size": 3}, r"^there is no setting 'shard-size'; did you mean 'shard_size'\?$"),
        ({"out": "x", "qqq": 3}, r"^there is no setting 'qqq'; the settings are out, shard_size\.$"),
        ({"shard_size": 3}, r"^the setting 'out' is missing; add out=\.\.\. to the call\.$"),
    ],
)
def test_a_wrong_keyword_is_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        from_keywords(Example, options)
