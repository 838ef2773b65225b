"""What masks of each style cost, and which of them are nearer to real masks.

    python benchmarks/styles.py [--src FACES]
    python benchmarks/styles.py --real MASKED --unmasked FACES --network FILE.onnx --detector YUNET.onnx

The first draws all six masks on faces at 224 pixels, on one core, and prints milliseconds and ratios. The second also
compares photographs of people who wear masks with photographs of other people on whom masks are drawn:

- From every picture, real or drawn, one face is taken: the largest that YuNet finds, of at least 60 pixels. It is
  aligned to 112 x 112 by its five points, and what lies above the middle of the nose becomes grey. A photograph on
  which YuNet misses the mask of some style is left out of all styles.
- A face network (RGB, (x - 127.5) / 128) gives an embedding of each, scaled to length 1.
- The distance of two sets is the unbiased MMD^2 with a Gaussian kernel, whose width is the median distance of the
  pooled embeddings, the same for all styles. "Chance" is what 95 % of random divisions of the same pictures stay below.
- The interval of a difference from flat comes from resampling the photographs of both sets.

Colours are those of NIST or random; the textures are pictures that scikit-image carries.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from _common import machine, on_one_core, photographs, source, table

import maskgen
from maskgen.imaging.align import PLACES
from maskgen.imaging.fit import fit
from maskgen.imaging.outline import Undrawable, outline
from maskgen.imaging.seeding import color_of, palette, variant_of
from maskgen.imaging.styles import draw_each

SIDE = 224
REPEATS = 7
SEEN_FROM = 60
"""Rows above are made grey: eyes and brows lie there, and no mask."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="photographs to time on [../shared/data/faces, or astronauts]")
    parser.add_argument("--real", type=Path, help="folder of photographs of people with masks")
    parser.add_argument("--unmasked", type=Path, help="folder of photographs, or of tars of them, of other people")
    parser.add_argument("--network", type=Path, help="ONNX face network of 112 x 112 pixels")
    parser.add_argument("--detector", type=Path, help="YuNet as an ONNX file")
    parser.add_argument("--photographs", type=int, default=400, help="of other people, at most [400]")
    parser.add_argument("--colors", default="nist", help="as in maskgen build [nist]")
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--sheet", type=Path, help="write the faces that are compared to this picture")
    chosen = parser.parse_args()
    machine()
    on_one_core()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        styles = {
            "flat": maskgen.Style(),
            "fabric": maskgen.Style("fabric"),
            "texture": maskgen.Style("texture", textures=maskgen.read_textures(prints(Path(scratch, "prints")))),
        }
        cost(styles, source(chosen.src, Path(scratch)))
    if chosen.real:
        compare(styles, chosen)


def prints(folder: Path) -> Path:
    """A folder of textures: four pictures of scikit-image, and a disc on a transparent ground."""
    from skimage import data

    folder.mkdir()
    for name in ("brick", "grass", "coffee", "chelsea"):
        picture = getattr(data, name)()
        cv2.imwrite(str(folder / f"{name}.png"), picture if picture.ndim == 2 else picture[:, :, ::-1])
    disc = np.zeros((256, 384, 4), np.uint8)
    cv2.circle(disc, (192, 128), 70, (60, 60, 200, 255), -1, cv2.LINE_AA)
    cv2.imwrite(str(folder / "disc.png"), disc)
    return folder


def cost(styles: dict[str, maskgen.Style], src: Path) -> None:
    """Prints what a mask costs in each style, if all six are drawn on a photograph and if one is."""
    landmarker, faces = maskgen.Landmarker(), []
    for path in photographs(src)[:32]:
        image = maskgen.decode(path.read_bytes())
        if face := landmarker.find(image):
            fitted = fit(image, SIDE, "stretch")
            faces.append((path.name, fitted.image, fitted.points(face.landmarks)))
    color = (158, 207, 240)

    def drawn(style: maskgen.Style, groups: list[list[str]]) -> None:
        for name, image, landmarks in faces:
            for variants in groups:
                outlines = [outline(landmarks, variant) for variant in variants]
                for _ in draw_each(image, landmarks, variants, outlines, [color] * len(variants), style, name):
                    pass

    together, alone = [list(maskgen.VARIANTS)], [[variant] for variant in maskgen.VARIANTS]
    spent: dict[tuple[str, str], list[float]] = {}
    for _ in range(REPEATS):
        for name, style in styles.items():
            for how, groups in (("six", together), ("one", alone)):
                began = time.process_time()
                drawn(style, groups)
                spent.setdefault((name, how), []).append(1000 * (time.process_time() - began) / len(faces) / 6)
    least = {key: min(values) for key, values in spent.items()}
    rows = [
        (
            name,
            *(value for how in ("six", "one") for value in (least[name, how], least[name, how] / least["flat", how])),
        )
        for name in styles
    ]
    head = ("style", "ms a mask, six at once", "ratio to flat", "ms a mask, one alone", "ratio to flat")
    table(f"Masks on {len(faces)} faces at {SIDE} pixels, on one core (least of {REPEATS} runs)", head, rows)


def compare(styles: dict[str, maskgen.Style], chosen: Any) -> None:
    align = aligner(chosen.detector)
    embed = embedder(chosen.network)
    real = [face for path in photographs(chosen.real) if (face := align(maskgen.decode(path.read_bytes()))) is not None]
    drawn = pictures(styles, chosen, align)
    faces = {"real": real, **drawn}
    if chosen.sheet:
        shown = [np.hstack([many[n % len(many)] for n in range(24)]) for many in faces.values()]
        cv2.imwrite(str(chosen.sheet), cv2.cvtColor(np.vstack(shown), cv2.COLOR_RGB2BGR))
    found = {name: embed(many) for name, many in faces.items()}
    far = np.concatenate(list(found.values()))
    width = float(np.median(squared(far, far)[np.triu_indices(len(far), 1)]))
    rows = []
    for name in drawn:
        kernel = np.exp(-squared(*[np.concatenate([found["real"], found[name]])] * 2) / width)
        chance = divided(kernel, len(real), chosen.resamples)
        rows.append((name, len(found[name]), 1000 * mmd(kernel, len(real)), 1000 * chance))
    head = ("drawn", "faces", "MMD^2 x 1000", "chance x 1000")
    table(f"Distance from {len(real)} faces with real masks, colours {chosen.colors}", head, rows)
    rows = []
    for name in drawn:
        if name != "flat":
            low, high = np.percentile(differences(found, name, width, chosen.resamples), (2.5, 97.5))
            rows.append((f"flat - {name}", 1000 * low, 1000 * high))
    table("Differences of MMD^2 x 1000 from flat: positive if nearer to real masks", ("", "2.5 %", "97.5 %"), rows)


def pictures(styles: dict[str, maskgen.Style], chosen: Any, align: Callable[[Pixels], Pixels | None]) -> dict[str, Any]:
    """The aligned faces of each style, and of the photographs without masks."""
    landmarker = maskgen.Landmarker()
    colors = palette(chosen.colors)
    made: dict[str, list[Pixels]] = {"unmasked": [], **{name: [] for name in styles}}
    for name, data in other_people(chosen.unmasked):
        image = maskgen.decode(data)
        face = landmarker.find(image)
        if face is None or len(made["flat"]) == chosen.photographs:
            continue
        variant = variant_of(0, name)
        color = color_of(0, name, variant, colors)
        try:
            masked = [maskgen.draw(image, face.landmarks, variant, color, style, name) for style in styles.values()]
        except Undrawable:
            continue
        aligned = [align(picture) for picture in (image, *masked)]
        if all(one is not None for one in aligned):
            for many, one in zip(made.values(), aligned, strict=True):
                many.append(one)
    return made


def other_people(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The first photograph of each person, by name, in a tree of identity folders or of tars of them."""
    seen = set()
    for path in photographs(folder):
        if path.parent.name not in seen:
            seen.add(path.parent.name)
            yield f"{path.parent.name}/{path.name}", path.read_bytes()
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                person = member.name.split("/")[0]
                file = archive.extractfile(member) if member.name.endswith(".jpg") and person not in seen else None
                if file:
                    seen.add(person)
                    yield member.name, file.read()


def aligner(detector: Path) -> Callable[[Pixels], Pixels | None]:
    """From a photograph to its largest face, 112 x 112, without its upper half; None if there is none."""
    yunet = cv2.FaceDetectorYN.create(str(detector), "", (320, 320), 0.7)

    def align(image: Pixels) -> Pixels | None:
        scale = min(640 / max(image.shape), 1)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yunet.setInputSize((small.shape[1], small.shape[0]))
        faces = yunet.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        if faces is None:
            return None
        face = max(faces, key=lambda one: one[2] * one[3]) / scale
        if face[2] < 60:
            return None
        move = cv2.estimateAffinePartial2D(face[4:14].reshape(5, 2).astype(np.float64), PLACES, method=cv2.LMEDS)[0]
        aligned = cv2.warpAffine(image, move, (112, 112), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        aligned[:SEEN_FROM] = 127
        return aligned

    return align


def embedder(network: Path) -> Callable[[list[Pixels]], Floats]:
    net = cv2.dnn.readNetFromONNX(str(network))

    def embed(faces: list[Pixels]) -> Floats:
        vectors = []
        for face in faces:
            net.setInput(cv2.dnn.blobFromImage(face, 1 / 128, (112, 112), (127.5,) * 3))
            vectors.append(net.forward().ravel().astype(np.float64))
        found = np.array(vectors)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    return embed


def squared(one: Floats, other: Floats) -> Floats:
    """Squared distances of vectors of length 1."""
    return np.maximum(2 - 2 * one @ other.T, 0)


def mmd(kernel: Floats, first: int, repeated: npt.NDArray[np.intp] | None = None) -> float:
    """The unbiased MMD^2 of the first `first` points and the others (Gretton et al. 2012, lemma 6).

    With `repeated`, the points' own numbers, a pair of copies of one point is no pair.
    """
    numbers = np.arange(len(kernel)) if repeated is None else repeated
    pairs = numbers[:, None] != numbers[None, :]
    within = [
        (kernel[part, part] * pairs[part, part]).sum() / pairs[part, part].sum()
        for part in (slice(first), slice(first, None))
    ]
    return float(sum(within) - 2 * kernel[:first, first:].mean())


def divided(kernel: Floats, first: int, resamples: int) -> float:
    """What the MMD^2 of a random division of the points stays below in 95 % of all cases."""
    generator = np.random.default_rng(0)
    orders = (generator.permutation(len(kernel)) for _ in range(resamples))
    return float(np.percentile([mmd(kernel[np.ix_(order, order)], first) for order in orders], 95))


def differences(found: dict[str, Floats], name: str, width: float, resamples: int) -> list[float]:
    """MMD^2 of flat less that of another style, for resampled photographs: the same ones in both."""
    generator = np.random.default_rng(0)
    real, many = len(found["real"]), len(found["flat"])
    kernels = {
        style: np.exp(-squared(*[np.concatenate([found["real"], found[style]])] * 2) / width)
        for style in ("flat", name)
    }
    values = []
    for _ in range(resamples):
        drawn = [generator.integers(real, size=real), real + generator.integers(many, size=many)]
        order = np.concatenate(drawn)
        flat, other = (mmd(kernels[style][np.ix_(order, order)], real, order) for style in ("flat", name))
        values.append(flat - other)
    return values


if __name__ == "__main__":
    main()
