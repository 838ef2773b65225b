"""Which faces each list of detectors finds, and at what cost. Prints a table for each folder of photographs.

For each list: photographs with a face of the subject, those with faces beside the centre only, and those where the face
is another one than that of the first list (they overlap by less than 0.3); and processor time over that of `hog`.
`--sheet FILE` writes what each list finds that `hog` does not, to look at: whether it is a face, no program knows.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from _common import DATA, machine, on_one_core, photographs, table
from landmarks import Box, overlap

from maskgen import Landmarker
from maskgen.errors import Rejected
from maskgen.imaging.decode import decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="*", help="folders of photographs; by default those of ../shared")
    parser.add_argument("--face", choices=("central", "largest"), default="central")
    parser.add_argument("--detector-model", type=Path, help="YuNet's ONNX file; by default that of ../shared")
    parser.add_argument("--detector", action="append", help="such as hog,yunet; may be repeated")
    parser.add_argument("--limit", type=int, help="at most so many photographs of a folder, evenly spaced")
    parser.add_argument("--sheet", type=Path, help="write a sheet of what later lists find and the first does not")
    arguments = parser.parse_args()
    model = arguments.detector_model or next((DATA / "networks").glob("face_detection_yunet*.onnx"), None)
    folders = arguments.folder or [DATA / name for name in ("faces", "orl", "real_masks") if (DATA / name).is_dir()]
    if not folders:
        parser.exit(0, "There is no ../shared/data; give a folder.\n")
    machine()
    on_one_core()
    lists = arguments.detector or ["hog", "hog,cnn", *(["hog,yunet", "yunet"] if model else [])]
    tiles: list[np.ndarray] = []
    rows = []
    for folder in folders:
        paths = photographs(folder)
        if arguments.limit and len(paths) > arguments.limit:
            paths = [paths[n] for n in np.linspace(0, len(paths) - 1, arguments.limit).round().astype(int)]
        found: dict[str, list[Box | Rejected]] = {}
        cost = {}
        for names in lists:
            landmarker = Landmarker(
                face=arguments.face, detector=names, detector_model=model if "yunet" in names else None
            )
            found[names], cost[names] = search(paths, landmarker)
        first = found[lists[0]]
        for names in lists:
            faces = [(a, b) for a, b in zip(first, found[names], strict=True) if not isinstance(b, Rejected)]
            beside = sum(isinstance(one, Rejected) and one.reason == "no_central_face" for one in found[names])
            another = sum(not isinstance(a, Rejected) and overlap(a, b) < 0.3 for a, b in faces)
            ratio = cost[names] / cost[lists[0]]
            rows.append((folder.name, len(paths), names, len(faces), beside, another, ratio))
            tiles += [
                tile(path, b, f"{names}")
                for path, a, b in zip(paths, first, found[names], strict=True)
                if isinstance(a, Rejected) and not isinstance(b, Rejected)
            ]
    head = ("set", "photographs", "detectors", "found", "beside the centre only", "another face", "cost / first")
    table(f"--face {arguments.face}", head, rows)
    if arguments.sheet and tiles:
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 10)
        cv2.imwrite(
            str(arguments.sheet), np.vstack([np.hstack(tiles[row : row + 10]) for row in range(0, len(tiles), 10)])
        )


def search(paths: list[Path], landmarker: Landmarker) -> tuple[list[Box | Rejected], float]:
    """The box of each photograph's subject, or why there is none, and processor seconds without decoding."""
    answers: list[Box | Rejected] = []
    spent = 0.0
    for path in paths:
        try:
            image = decode(path.read_bytes())
        except Rejected as rejected:
            answers.append(rejected)
            continue
        began = time.process_time()
        [face] = landmarker.find_all([image], [None])
        spent += time.process_time() - began
        answers.append(face if isinstance(face, Rejected) else face.box)
    return answers, spent


def tile(path: Path, box: Box, names: str) -> np.ndarray:
    """The photograph, 200 x 200, with the box."""
    image = cv2.cvtColor(decode(path.read_bytes()), cv2.COLOR_RGB2BGR)
    scale = 200 / max(image.shape)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:200, :200]
    canvas = np.zeros((200, 200, 3), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    x0, y0, x1, y1 = (box * scale).astype(int).tolist()
    cv2.rectangle(canvas, (x0, y0), (x1, y1), (0, 255, 0))
    cv2.putText(canvas, names, (4, 194), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 255, 255))
    return canvas


if __name__ == "__main__":
    main()
