"""Where the people of a folder source lie: in --src itself, or one level down in the train/ and test/ of VGGFace2."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UsageError

OFFICIAL_SPLITS = ("train", "test")
"""Folders of identity folders that are called so are VGGFace2's, and the split is given."""


def is_split(
    shown: str, folders: list[str], holds_folders: Callable[[str], bool], first_in: Callable[[str], str | None]
) -> bool:
    """Whether the folders in --src are splits, and the people lie in them.

    They are where a train/ or test/ holds folders; one that holds photographs only is a person of that name.
    `first_in` gives the first photograph at any depth of a folder: a folder beside the splits may hold none, or
    nobody knows in which split it belongs, and that is a `UsageError`. `shown` is how messages call --src.
    """
    splits = [name for name in OFFICIAL_SPLITS if name in folders and holds_folders(name)]
    if not splits:
        return False
    for name in folders:
        if name not in OFFICIAL_SPLITS and (found := first_in(name)):
            raise UsageError(
                f"--src {shown} holds the people of {' and '.join(f'{split}/' for split in splits)} and, beside them, "
                f"{found!r}; move {name}/ out of it or its people into train/ or test/, or give --src one of its "
                f"folders (a person called {splits[0]} needs another name)."
            )
    return True
