"""`mfr report`: writes the page of results. It needs no PyTorch."""

from __future__ import annotations

from maskgen.errors import shown

from ..reporting.report import report


def reported(folders: tuple[str, ...], out: str, pictures: bool) -> str:
    """Writes the page of these folders, and says where it is and how large."""
    file = report(*folders, out=out, pictures=pictures)
    return shown(f"{file} shows {', '.join(folders)} in {file.stat().st_size / 1e6:.1f} MB; open it in a browser.")
