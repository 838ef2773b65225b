"""The data sets that `mfr protocol` knows: where they say who is masked, and how many pictures were published.

None of these data sets is part of the tests. Layouts are those of their publishers or of programs that read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command's help needs the names only
    from .protocol_table import Protocol

BOTH, FIRST = "both", "first"
ROLE_CHOICES = (BOTH, FIRST)


@dataclass(frozen=True)
class Kind:
    """A data set: `person` is the level of the folder that names the person, 1 for those in SRC itself.

    A picture is masked if its path matches one of the patterns `masked`, or if the file `labels` says so. Only the
    `folders` of SRC are listed, if there are any. `patterns` says that its layout is not known: the call must give it.
    `counts` are the published numbers: of subjects, of pictures, and of pictures by (role, masked).
    """

    title: str
    person: int = 1
    masked: tuple[str, ...] = ()
    roles: str = BOTH
    folders: tuple[str, ...] = ()
    labels: str = ""
    patterns: bool = False
    subjects: int | None = None
    pictures: int | None = None
    sides: dict[tuple[str, bool], int] = field(default_factory=dict)


KINDS = {
    "folders": Kind("a folder of people"),
    # Huang et al., Labeled Faces in the Wild, Technical Report 07-49, 2007.
    "lfw": Kind("LFW", roles=FIRST, subjects=5749, pictures=13233),
    # Anwar and Raychowdhury, Masked Face Recognition for Secure Authentication, 2020.
    "mfr2": Kind("MFR2", labels="mfr2_labels.txt", subjects=53, pictures=269),
    # Wang et al., Masked Face Recognition Dataset and Application, 2020. What can be downloaded has other counts.
    "rmfd": Kind(
        "RMFD",
        person=2,
        masked=("AFDB_masked_face_dataset/*",),
        folders=("AFDB_face_dataset", "AFDB_masked_face_dataset"),
    ),
    # Boutros et al., MFR 2021: Masked Face Recognition Competition, IJCB 2021.
    "mfrc21": Kind(
        "MFRC-21",
        patterns=True,
        subjects=47,
        sides={("reference", False): 470, ("reference", True): 940, ("probe", False): 940, ("probe", True): 1880},
    ),
}

COUNTED = tuple(name for name, kind in KINDS.items() if kind.subjects is not None)


def count_mismatches(name: str, protocol: Protocol) -> list[str]:
    """A sentence for each published number that the table does not have."""
    kind = KINDS[name]
    expected = [(kind.subjects, len(protocol.names), "subjects"), (kind.pictures, len(protocol.labels), "pictures")]
    for (role, masked), count in kind.sides.items():
        found = len(protocol.sides.get((role, masked), ()))
        expected.append((count, found, f"{'masked' if masked else 'unmasked'} {role}s"))
    return [
        f"{kind.title} has {published:,} {what}, and the table has {found:,}."
        for published, found, what in expected
        if published is not None and published != found
    ]
