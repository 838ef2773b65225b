"""Containers of photographs as other programs write them: tar archives and RecordIO packs."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path


def write_tar(path: Path, members: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> Path:
    """Writes a tar of named members: `write_tar(folder / "x.tar", {"ann/1.jpg": data})`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


class RecordWriter:
    """Writes a RecordIO pack as MXNet does: a record is split wherever its data has the magic number at a multiple
    of 4. `lines` is the index; `close` writes it."""

    MAGIC = struct.pack("<I", 0xCED7230A)

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._data, self.lines = path, bytearray(), list[str]()

    def add(self, key: int, labels: float | list[float], image: bytes = b"") -> int:
        """Adds one record of an image, with one label or an array of them; returns its offset."""
        if isinstance(labels, list):
            data = struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0, key, 0, *labels) + image
        else:
            data = struct.pack("<IfQQ", 0, labels, key, 0) + image
        return self.add_data(key, data)

    def add_data(self, key: int, data: bytes) -> int:
        offset = len(self._data)
        cuts = [at for at in range(0, len(data) - 3, 4) if data[at : at + 4] == self.MAGIC]
        starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(data)]
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            role = 0 if not cuts else 1 if number == 0 else 3 if number == len(cuts) else 2
            self._data += self.MAGIC + struct.pack("<I", role << 29 | end - start) + data[start:end]
            self._data += bytes(-(end - start) % 4)
        self.lines.append(f"{key}\t{offset}\n")
        return offset

    def close(self) -> Path:
        self._path.write_bytes(self._data)
        self._path.with_suffix(".idx").write_text("".join(self.lines))
        return self._path


def write_pack(folder: Path, photographs: list[tuple[float, bytes]]) -> Path:
    """Writes an insightface pack of (person, image) sorted by person: record 0, images, a record for each person."""
    writer, people = RecordWriter(folder / "train.rec"), sorted({person for person, _ in photographs})
    after = len(photographs) + 1
    writer.add(0, [after, after + len(people)])
    for key, (person, image) in enumerate(photographs, 1):
        writer.add(key, [person, 0.0] if key % 2 else person, image)
    for number, person in enumerate(people):
        keys = [key for key, (whose, _) in enumerate(photographs, 1) if whose == person]
        writer.add(after + number, [keys[0], keys[-1] + 1])
    writer.close()
    (folder / "property").write_text(f"{len(people)},112,112\n")
    return folder
