"""Untrusted bytes: exact pixels where they are an image, a reason where they are not, and never another exception."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import maskgen
from maskgen.errors import Rejected
from maskgen.imaging import libjpeg_warnings
from maskgen.imaging.decode import decode, decode_with_warnings
from maskgen.imaging.limits import MAX_PIXELS
from maskgen.pipeline.sample import make_sample
from tests.support import faces
from tests.support.fuzz import examples

PICTURE = np.random.default_rng(5).integers(0, 256, (7, 5, 3), dtype=np.uint8)
"""Noise without any symmetry: a turned or mixed-up picture shows."""


def saved(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        decode(data)
    assert caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value.reason


def check(data: bytes, expected: np.ndarray) -> None:
    image = decode(data)
    assert (image.dtype, image.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("BMP", {}), ("PPM", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_keep_every_pixel(format: str, options: dict[str, object]) -> None:
    check(saved(Image.fromarray(PICTURE), format, **options), PICTURE)


def test_jpeg_is_what_opencv_and_pillow_both_say(head: np.ndarray) -> None:
    data = saved(Image.fromarray(head), "JPEG", quality=95, subsampling=0)
    image = decode(data)
    np.testing.assert_array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])
    with Image.open(io.BytesIO(data)) as picture:
        assert np.abs(image.astype(int) - np.asarray(picture)).max() <= 2
    assert np.abs(image.astype(int) - head).mean() < 2


def test_progressive_and_grey_jpeg(head: np.ndarray) -> None:
    upright = decode(saved(Image.fromarray(head), "JPEG", quality=95))
    check(saved(Image.fromarray(head), "JPEG", quality=95, progressive=True), upright)
    grey = decode(saved(Image.fromarray(head).convert("L"), "JPEG", quality=95))
    assert grey.shape == head.shape
    assert (grey[:, :, :1] == grey).all()


@pytest.mark.parametrize("format", ["PNG", "PPM"])  # grey PPM is PGM
def test_grey_is_three_equal_channels(format: str) -> None:
    grey = PICTURE[:, :, 0]
    check(saved(Image.fromarray(grey), format), np.repeat(grey[:, :, None], 3, axis=2))


def test_one_bit_is_black_and_white() -> None:
    bits = PICTURE[:, :, 0] > 127
    check(saved(Image.fromarray(bits)), np.repeat(bits[:, :, None], 3, axis=2) * np.uint8(255))


@pytest.mark.parametrize("format", ["PNG", "PPM"])
def test_16_bit_grey_is_cut_to_its_upper_8_bits(format: str) -> None:
    deep = np.array([[0x0000, 0x00FF, 0x0100], [0x12FE, 0x8000, 0xFFFF]], dtype=np.uint16)
    expected = np.array([[0x00, 0x00, 0x01], [0x12, 0x80, 0xFF]], dtype=np.uint8)
    check(saved(Image.fromarray(deep), format), np.repeat(expected[:, :, None], 3, axis=2))


def test_16_bit_rgb_is_cut_to_its_upper_8_bits() -> None:
    deep = PICTURE.astype(np.uint16) * 256 + 200
    done, data = cv2.imencode(".png", deep[:, :, ::-1])
    assert done
    assert data.tobytes()[24] == 16, "bits a sample, in the header"
    check(data.tobytes(), PICTURE)


def test_palette_becomes_its_colours() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 0, 7, 0, 255, 99])
    colors = np.array([(10, 20, 30), (200, 0, 7), (0, 255, 99)], np.uint8)
    check(saved(palette), colors[[[0, 1, 2], [2, 1, 0]]])
    colors[1] = 255
    check(saved(palette, transparency=1), colors[[[0, 1, 2], [2, 1, 0]]])


def test_transparent_parts_lie_on_white() -> None:
    alpha = np.array([[0, 255, 128]], np.uint8)
    rgba = np.dstack([np.full((1, 3, 3), (100, 0, 250), np.uint8), alpha])
    # 128 / 255 of the colour and the rest white: 100 -> 177.2, 0 -> 127, 250 -> 252.5
    image = decode(saved(Image.fromarray(rgba)))
    assert image[0, :2].tolist() == [[255, 255, 255], [100, 0, 250]]
    np.testing.assert_allclose(image[0, 2], [177.2, 127, 252.5], atol=1)
    grey = decode(saved(Image.fromarray(np.dstack([np.full((1, 3), 100, np.uint8), alpha]))))
    assert grey[0, :2].tolist() == [[255] * 3, [100] * 3]


def test_cmyk_jpeg_has_the_colours_of_the_photograph(head: np.ndarray) -> None:
    data = saved(Image.fromarray(head).convert("CMYK"), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.mode == "CMYK"
    assert np.abs(decode(data).astype(int) - head).mean() < 3


STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),  # shown a quarter clockwise
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""How a camera stores an upright picture that its EXIF orientation turns back."""


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_honoured(orientation: int, head: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](PICTURE))
    check(saved(Image.fromarray(stored), exif=exif), PICTURE)
    photograph = np.ascontiguousarray(STORED[orientation](head))
    image = decode(saved(Image.fromarray(photograph), "JPEG", quality=95, subsampling=0, exif=exif))
    assert np.abs(image.astype(int) - head).mean() < 2


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    check(saved(Image.fromarray(PICTURE), exif=exif), PICTURE)


def test_damaged_exif_takes_nothing_from_the_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0  # 0x011A, a resolution, becomes a tag that cannot be written again
    stored = np.ascontiguousarray(STORED[6](PICTURE))
    whole = saved(Image.fromarray(stored), "JPEG", quality=100, subsampling=0, exif=exif)
    upright = decode(whole)
    assert upright.shape == PICTURE.shape
    begin = whole.index(b"Exif\0\0") + 6
    checked = 0
    for place in range(begin + 8, whole.index(b"\xff\xdb")):
        for value in (0, 1, 2, 13, 255):
            damaged = bytearray(whole)
            damaged[place] = value
            image = decode(bytes(damaged))  # turned, or as it is stored where its orientation was hit
            assert image.shape in (upright.shape, stored.shape)
            checked += image.shape == upright.shape
    assert checked > 100


def test_one_pixel() -> None:
    check(saved(Image.new("RGB", (1, 1), (3, 2, 1))), np.array([[(3, 2, 1)]], np.uint8))


def test_no_bytes_and_no_image() -> None:
    assert reason(b"") == "empty"
    assert reason(b"this is a text\n") == "not_an_image"
    assert reason(b"\xff\xd8") == "not_an_image"
    assert reason(bytes(1000)) == "not_an_image"
    gif = saved(Image.new("RGB", (5, 5)), "GIF")
    assert reason(gif) == "not_an_image", "formats that nobody asked for are not opened"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_damaged(format: str, share: float, head: np.ndarray) -> None:
    whole = saved(Image.fromarray(head), format)
    assert reason(whole[: int(len(whole) * share)]) in ("damaged", "not_an_image")
    if format == "JPEG":
        assert reason(whole[: int(len(whole) * share)]) == "damaged"


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(head: np.ndarray) -> None:
    whole = saved(Image.fromarray(head), "JPEG", quality=95)
    assert np.abs(decode(whole + b"\n\0trailing").astype(int) - decode(whole)).max() <= 2


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A whole PNG of 20,000 x 20,000 grey pixels in 400 kB."""
    return faces.black_png(20_000)


def test_a_bomb_is_refused_by_its_header(bomb: bytes) -> None:
    assert len(bomb) < 1_000_000
    assert reason(bomb) == "too_large"
    middle = bytearray(bomb)  # above the limit, below the twice of it from which Pillow refuses by itself
    middle[16:24] = (MAX_PIXELS // 9000 + 1).to_bytes(4, "big") + (9000).to_bytes(4, "big")
    middle[29:33] = zlib.crc32(middle[12:29]).to_bytes(4, "big")
    assert reason(bytes(middle)) == "too_large"
    jpeg = bytearray(saved(Image.new("L", (16, 16)), "JPEG"))
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = (20_000).to_bytes(2, "big") * 2
    assert reason(bytes(jpeg)) == "too_large"
    assert reason(b"P5 20000 20000 255\n" + bytes(100)) == "too_large"


def test_a_bomb_takes_no_memory(bomb: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bomb") / "bomb.png"
    path.write_bytes(bomb)
    program = """
import resource, sys
from maskgen import Rejected, decode
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(data)
except Rejected as rejected:
    print(rejected.reason, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
    word, more = said.split()
    assert word == "too_large"
    assert int(more) * (1024 if sys.platform != "darwin" else 1) < 20e6


def seeds() -> list[bytes]:
    """Small whole files of every kind that `decode` reads, to be damaged."""
    picture = Image.new("RGB", (40, 30), "tan")
    ImageDraw.Draw(picture).ellipse((5, 5, 30, 25), fill="navy")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "words", {0x9003: "2020:01:01 00:00:00"}
    return [
        saved(picture, "JPEG", exif=exif),
        saved(picture, "JPEG"),
        saved(picture.convert("CMYK"), "JPEG", progressive=True),
        saved(picture, "PNG", exif=exif, icc_profile=b"no profile"),
        saved(picture.quantize(16), "PNG", transparency=3),
        saved(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)), "PNG"),
        saved(picture, "WEBP", exif=exif),
        saved(picture, "BMP"),
        saved(picture.quantize(16), "BMP"),
        saved(picture.convert("L"), "PPM"),
        b"P2 3 2 255\n1 2 3\n4 5 6\n",
    ]


SEEDS = seeds()


@settings(max_examples=examples(1500), deadline=None)
@given(
    st.sampled_from(range(len(SEEDS))),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    st.floats(0, 1),
    st.booleans(),
)
def test_damaged_files_give_pixels_or_a_reason(
    seed: int, changes: list[tuple[float, bytes]], length: float, cut: bool
) -> None:
    data = bytearray(SEEDS[seed])
    for place, put in changes:
        at = int(place * (len(data) - 1))
        data[at : at + len(put)] = put
    if cut:
        del data[int(length * len(data)) :]
    image, rejected = None, None
    try:
        image = decode(bytes(data))
    except Rejected as error:
        rejected = error
    if rejected is None:
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
        return
    assert rejected.reason in ("empty", "not_an_image", "damaged", "too_large")
    assert "\n" not in rejected.detail
    assert not re.search("0x[0-9a-f]{6}", rejected.detail), "an address in memory would differ from run to run"


def test_a_reason_survives_the_way_between_processes() -> None:
    import pickle

    rejected = pickle.loads(pickle.dumps(Rejected("damaged", "cut short")))
    assert (rejected.reason, rejected.detail, str(rejected)) == ("damaged", "cut short", "damaged: cut short")


def test_threads_and_warnings_are_left_as_they_were(
    recwarn: pytest.WarningsRecorder, encode: Callable[..., bytes]
) -> None:
    decode(encode(PICTURE, "PNG"))
    assert not recwarn.list


@pytest.fixture
def broken(head: np.ndarray) -> bytes:
    """A JPEG that ends as it should and lacks the second half of its packed pixels."""
    whole = saved(Image.fromarray(head), "JPEG", quality=95)
    return whole[: len(whole) // 2] + b"\xff\xd9"


HALF = "Corrupt JPEG data: premature end of data segment"


def test_libjpeg_writes_nothing_to_the_terminal(broken: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert decode_with_warnings(broken)[1] == HALF
    assert decode_with_warnings(saved(Image.fromarray(PICTURE), "JPEG"))[1] == ""
    assert capfd.readouterr() == ("", "")


def test_what_libjpeg_says_is_in_the_reject(broken: bytes, landmarker: maskgen.Landmarker) -> None:
    flat = saved(Image.new("RGB", (400, 400), "tan"), "JPEG")
    damaged = flat[:-20] + b"\xff\xd9"
    row = {"key": "0", "source": "a", "identity": "", "split": "test", "label": -1, "face": None}
    with pytest.raises(Rejected) as caught:
        make_sample(damaged, row, maskgen.BuildSettings(src="-", out="-"), landmarker)
    assert str(caught.value) == f"no_face: no frontal face found in 400 x 400 pixels (libjpeg: {HALF})"


def test_what_others_write_meanwhile_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with libjpeg_warnings.caught() as said:
        os.write(2, f"of another thread\n{HALF}\n".encode())
        assert capfd.readouterr().err == ""
    assert said == [HALF]
    assert capfd.readouterr().err == "of another thread\n"
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), libjpeg_warnings.caught():
            1 / 0  # noqa: B018
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_a_process_without_standard_error_decodes(broken: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(broken)
    program = "import sys, maskgen; print(maskgen.decode(open(sys.argv[1], 'rb').read()).shape)"
    command = f'exec "{sys.executable}" -c "{program}" "{tmp_path}/broken.jpg" 2>&-'
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said == "(180, 180, 3)\n"


def test_a_path_is_not_the_bytes_of_a_file() -> None:
    with pytest.raises(TypeError, match="decode got a str; give the bytes of a file"):
        decode("face.jpg")
