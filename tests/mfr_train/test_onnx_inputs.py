"""ONNX files of every form: what their shapes say, what options say, and what cannot be run."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgen.errors import MaskgenError, UsageError
from mfr_train.networks.model import load_model
from mfr_train.networks.onnx_network import load
from mfr_train.networks.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx", reason="it makes the files")
pytest.importorskip("onnxruntime", reason="it runs ONNX files")

from onnx import TensorProto, helper  # noqa: E402

from tests.support.onnx_files import DIM, face_model, quarters, save, weights_elsewhere  # noqa: E402

WHOLE = Preprocessing(align="none")
NONE = np.empty((0, 68, 2), np.float32)


def pictures(count: int, size: int = 112) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


FORMS: dict[str, dict[str, Any]] = {
    "NCHW": {},
    "NHWC": {"layout": "nhwc"},
    "NHWC with a fixed batch": {"layout": "nhwc", "batch": 2},
    "a fixed batch of 1": {"batch": 1},
    "a fixed batch of 4": {"batch": 4},
    "160 pixels": {"size": 160},
    "any size": {"shape": ["n", 3, "h", "w"]},
    "half precision": {"kind": TensorProto.FLOAT16},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 6, 9])
def test_each_form_gives_the_means_of_each_picture(form: str, count: int, tmp_path: Path) -> None:
    backbone = load(save(tmp_path / "net.onnx", face_model(**FORMS[form])), WHOLE)
    size = FORMS[form].get("size", 112)
    assert (backbone.dim, backbone.input_size) == (DIM, size)
    images = pictures(count, size)
    wanted = quarters((images - 127.5) / 127.5)
    tolerance = 5e-3 if form == "half precision" else 1e-6
    np.testing.assert_allclose(backbone.features(images, NONE), wanted, atol=tolerance)


def test_pictures_are_scaled_to_the_input_size(tmp_path: Path) -> None:
    backbone = load(save(tmp_path / "net.onnx", face_model()), WHOLE)
    images = pictures(2, 112)
    larger = [np.repeat(np.repeat(image, 2, axis=0), 2, axis=1) for image in images]  # halved by means of 2 x 2
    np.testing.assert_allclose(backbone.features(larger, NONE), quarters((images - 127.5) / 127.5), atol=1e-4)


def test_colors_mean_and_scale_by_hand(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", face_model())
    image = np.broadcast_to(np.array([200, 100, 50], np.uint8), (1, 112, 112, 3))
    for given, (one, two, three) in (
        ({}, (72.5 / 127.5, -27.5 / 127.5, -77.5 / 127.5)),
        ({"scale": 128.0}, (72.5 / 128, -27.5 / 128, -77.5 / 128)),
        ({"colors": "bgr", "mean": 0.0, "scale": 1.0}, (50, 100, 200)),
        ({"colors": "bgr", "mean": "10,20,30", "scale": (2, 4, 5)}, (20, 20, 34)),  # in the order of BGR
    ):
        found = load_model(path, device="cpu", align="none", **given).backbone.features(image, NONE)
        np.testing.assert_allclose(found, [[one] * 4 + [two] * 4 + [three] * 4], rtol=1e-4)


def test_a_network_of_bytes_gets_them_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", face_model(kind=TensorProto.UINT8, layout="nhwc"))
    images = pictures(3)
    np.testing.assert_allclose(load(path, WHOLE).features(images, NONE), quarters(images), rtol=1e-4)
    with pytest.raises(UsageError, match=r"--mean does not apply to .*net\.onnx, whose input is uint8; leave it out"):
        load(path, Preprocessing(mean=0.0))


def test_a_flip_sum_adds_the_mirror_image(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", face_model())
    images = pictures(3)
    values = (images - 127.5) / 127.5
    found = load(path, dataclasses.replace(WHOLE, flip_sum=True)).features(images, NONE)
    np.testing.assert_allclose(found, quarters(values) + quarters(values[:, :, ::-1]), atol=1e-4)


def test_the_layout_is_asked_for_only_if_the_shape_leaves_it_open(tmp_path: Path) -> None:
    """Three rows or three channels: the shape of an input of 3 x 3 pixels would not say, nor one of unknown numbers."""
    open_ = save(tmp_path / "open.onnx", face_model(layout="nhwc", shape=["n", "h", "w", "c"]))
    images = pictures(2)
    given = dataclasses.replace(WHOLE, layout="nhwc")
    np.testing.assert_allclose(load(open_, given).features(images, NONE), quarters((images - 127.5) / 127.5), atol=1e-4)
    closed = save(tmp_path / "closed.onnx", face_model(layout="nhwc"))
    assert load(closed).preprocessing.layout == "nhwc"
    with pytest.raises(UsageError, match="is not --layout nchw; leave it out"):
        load(closed, Preprocessing(layout="nchw"))


def test_the_input_size_is_that_of_the_file(tmp_path: Path) -> None:
    fixed = save(tmp_path / "fixed.onnx", face_model(size=160))
    with pytest.raises(UsageError, match=r"takes pictures of 160 pixels, not 112; leave --input-size out"):
        load(fixed, Preprocessing(input_size=112))
    free = save(tmp_path / "free.onnx", face_model(size=64, shape=["n", 3, "h", "w"]))
    assert load(free, Preprocessing(input_size=64, align="none")).input_size == 64
    wide = save(tmp_path / "wide.onnx", face_model(shape=["n", 3, 112, 96]))
    with pytest.raises(UsageError, match="takes pictures of 96 and 112 pixels; give one for square pictures"):
        load(wide)


TWO = {
    "nodes": [
        helper.make_node("Flatten", ["pooled"], ["found"]),
        helper.make_node("Neg", ["found"], ["other"]),
        helper.make_node("Identity", ["pooled"], ["map"]),
    ],
    "outputs": {"map": ["n", 3, 2, 2], "found": ["n", DIM]},
}


def test_the_embedding_is_chosen_among_outputs(tmp_path: Path) -> None:
    images = pictures(2)
    wanted = quarters((images - 127.5) / 127.5)
    one = save(tmp_path / "one.onnx", face_model(**TWO))
    backbone = load(one, WHOLE)  # the other output is no embedding
    assert backbone.preprocessing.output == "found"
    np.testing.assert_allclose(backbone.features(images, NONE), wanted, atol=1e-4)
    both = save(tmp_path / "both.onnx", face_model(**TWO | {"outputs": {"found": ["n", DIM], "other": ["n", DIM]}}))
    with pytest.raises(UsageError, match=r"may be the embedding \(found of length 12, other of length 12\); choose"):
        load(both, WHOLE)
    for name, sign in (("found", 1), ("other", -1)):
        backbone = load(both, dataclasses.replace(WHOLE, output=name))
        np.testing.assert_allclose(backbone.features(images, NONE), sign * wanted, atol=1e-4)
    with pytest.raises(UsageError, match=r"has no output 'none'; give --output found or other"):
        load(both, Preprocessing(output="none"))


def test_an_embedding_of_one_pixel_is_an_embedding(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["pooled"], ["found"])]
    path = save(tmp_path / "net.onnx", face_model(nodes=nodes, outputs={"found": ["n", 3, 1, 1]}))
    images = pictures(5)
    wanted = ((images - 127.5) / 127.5).mean((1, 2))
    np.testing.assert_allclose(load(path, WHOLE).features(images, NONE), wanted, atol=1e-4)


def test_a_network_that_mixes_its_pictures_gets_one_at_a_time(tmp_path: Path) -> None:
    """Its shape says any number; it subtracts the mean of the batch, plus the picture's own, from each."""
    nodes = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[0, 1], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["found"]),
    ]
    backbone = load(save(tmp_path / "net.onnx", face_model(nodes=nodes, opset=13)), WHOLE)
    images = pictures(5)
    flat = quarters((images - 127.5) / 127.5)
    np.testing.assert_allclose(backbone.features(images, NONE), flat - flat.mean(axis=1, keepdims=True), atol=1e-4)


def test_a_batch_of_one_that_the_shape_does_not_tell(tmp_path: Path) -> None:
    """Exporters leave constant shapes in files that say they take any number."""
    nodes = [helper.make_node("Reshape", ["pooled", "shape"], ["found"])]
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, DIM])
    path = save(tmp_path / "net.onnx", face_model(nodes=nodes, weights=[shape], outputs={"found": [1, DIM]}))
    images = pictures(3)
    np.testing.assert_allclose(load(path, WHOLE).features(images, NONE), quarters((images - 127.5) / 127.5), atol=1e-4)


def test_another_length_for_another_batch_is_one_sentence(tmp_path: Path) -> None:
    """Of up to two pictures it gives embeddings, and of more it gives numbers in one row."""
    shape = helper.make_tensor("row", TensorProto.INT64, [2], [1, -1])
    three = helper.make_tensor("three", TensorProto.INT64, [1], [3])
    branches = [
        helper.make_graph([node], name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)])
        for name, node in (
            ("few", helper.make_node("Flatten", ["pooled"], ["few_out"])),
            ("many", helper.make_node("Reshape", ["pooled", "row"], ["many_out"])),
        )
    ]
    nodes = [
        helper.make_node("Shape", ["pooled"], ["size"], end=1),
        helper.make_node("Less", ["size", "three"], ["less"]),
        helper.make_node("If", ["less"], ["found"], then_branch=branches[0], else_branch=branches[1]),
    ]
    model = face_model(nodes=nodes, weights=[shape, three], outputs={"found": ["a", "b"]})
    backbone = load(save(tmp_path / "net.onnx", model), WHOLE)
    assert backbone.features(pictures(2), NONE).shape == (2, DIM)
    with pytest.raises(MaskgenError, match=r"gives an array of shape \(1, 36\) for 3 pictures in place of \(3, 12\)"):
        backbone.features(pictures(3), NONE)


@pytest.mark.parametrize(("op", "words"), [("Sqrt", "no finite numbers"), ("Relu", "the embedding 0")])
def test_no_numbers_and_zeros_are_one_sentence(op: str, words: str, tmp_path: Path) -> None:
    """Of black pictures, whose values are -1."""
    nodes = [helper.make_node(op, ["pooled"], ["root"]), helper.make_node("Flatten", ["root"], ["found"])]
    backbone = load(save(tmp_path / "net.onnx", face_model(nodes=nodes)), WHOLE)
    backbone.features(np.full((1, 112, 112, 3), 255, np.uint8), NONE)
    with pytest.raises(MaskgenError, match=rf"net\.onnx gives .*{words}.*check what it expects") as caught:
        backbone.features(np.zeros((1, 112, 112, 3), np.uint8), NONE)
    assert "\n" not in str(caught.value)


def custom() -> Any:
    nodes = [helper.make_node("Fold", ["pooled"], ["found"], domain="vendor.ops")]
    return face_model(nodes=nodes, domains=["vendor.ops"])


def huge() -> Any:
    """2^42 numbers, 16 TiB."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 2**42])
    return face_model(nodes=[helper.make_node("ConstantOfShape", ["shape"], ["found"])], weights=[shape])


def rows() -> Any:
    model = face_model(shape=["n", 3, 112])
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Flatten", ["faces"], ["found"]))
    return model


def two_inputs() -> Any:
    model = face_model()
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, ["n", 1]))
    return model


UNFIT: dict[str, tuple[Any, str]] = {
    "opset": (
        lambda: face_model(opset=99),
        r"has opset 99, and this onnxruntime knows \d+ at most; export it with",
    ),
    "operation": (custom, r"uses the operation 'vendor\.ops:Fold', which onnxruntime does not have; export it with"),
    "unknown": (
        lambda: face_model(nodes=[helper.make_node("Fold", ["pooled"], ["found"])]),
        "uses the operation 'Fold', which onnxruntime does not have",
    ),
    "memory": (huge, "memory ran out while onnxruntime ran the model"),
    "rank": (rows, "has 3 dimensions; give one that takes four"),
    "channels": (
        lambda: face_model(shape=["n", 1, 112, 112]),
        r"pictures of shape \[1, 112, 112\]; give one that",
    ),
    "inputs": (two_inputs, "has the inputs faces, age; give one whose only input is the pictures"),
    "type": (lambda: face_model(kind=TensorProto.INT64, nodes=[]), "onnxruntime cannot run|takes tensor"),
    "batch": (lambda: face_model(batch=100_000), "takes 100000 pictures at once; export it for 1024 at most"),
    "side": (lambda: face_model(size=5000), "takes pictures of 5000 pixels; give one for 4096 at most"),
    "picture": (
        lambda: face_model(
            nodes=[helper.make_node("Identity", ["pooled"], ["found"])], outputs={"found": ["n", 3, 2, 2]}
        ),
        r"gives \(1, 3, 2, 2\) for one face, which is not an embedding; give another ONNX file",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_cannot_be_run_is_one_sentence(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, words = UNFIT[kind]
    path = save(tmp_path / "net.onnx", make())
    with pytest.raises(MaskgenError, match=words) as caught:
        load_model(path, device="cpu")
    message = str(caught.value)
    assert "net.onnx" in message
    assert message.endswith(".")
    assert ";" in message  # and what to do
    assert not any(word in message for word in ("\n", "OpenCV", "[ONNXRuntimeError]", "onnxruntime_src"))
    assert capfd.readouterr().err == ""


def test_newer_format_is_one_sentence(tmp_path: Path) -> None:
    model = face_model()
    model.ir_version = 500
    with pytest.raises(
        UsageError, match=r"has version 500 of the format, and this onnxruntime knows \d+ at most; export"
    ):
        load(save(tmp_path / "net.onnx", model))


@pytest.mark.parametrize("data", [b"", b"weights", b"\0" * 100, b"\x08\x08"])
def test_what_is_no_onnx_file_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"net\.onnx is no ONNX file, or it is damaged; export the network again"):
        load(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file --model .*none\.onnx; give"):
        load_model(tmp_path / "none.onnx", device="cpu")


WEIGHTS = np.arange(1, DIM + 1, dtype=np.float32)
TIMES = [helper.make_node("Flatten", ["pooled"], ["flat"]), helper.make_node("Mul", ["flat", "w"], ["found"])]


def with_weights(path: Path, **facts: object) -> Path:
    return save(path, face_model(nodes=TIMES, weights=[weights_elsewhere(WEIGHTS, **facts)]))


def test_weights_beside_the_file_are_read_and_count(tmp_path: Path) -> None:
    data = tmp_path / "net.onnx.data"
    data.write_bytes(b"head" + WEIGHTS.tobytes())
    path = with_weights(tmp_path / "net.onnx", location="net.onnx.data", offset=4, length=48)
    images = pictures(2)
    before = load(path, WHOLE)
    np.testing.assert_allclose(before.features(images, NONE), quarters((images - 127.5) / 127.5) * WEIGHTS, atol=1e-3)
    data.write_bytes(b"head" + (2 * WEIGHTS).tobytes())
    assert load(path, WHOLE).fingerprint != before.fingerprint


def elsewhere(folder: Path) -> dict[str, tuple[dict[str, object], str]]:
    (folder / "secret").write_bytes(WEIGHTS.tobytes())
    inner = folder / "model"
    inner.mkdir()
    (inner / "short").write_bytes(b"1234")
    (inner / "link").symlink_to(folder / "secret")
    (inner / "folder").mkdir()
    return {
        "above": (
            {"location": "../secret"},
            r"weights in '\.\./secret', which is not the name of a file beside it",
        ),
        "absolute": ({"location": str(folder / "secret")}, "which is not the name of a file beside it"),
        "below": ({"location": "folder/x"}, "which is not the name of a file beside it"),
        "memory": (
            {"location": "*/_ORT_MEM_ADDR_/*", "offset": 4096, "length": 48},
            "not the name of a file beside it",
        ),
        "nothing": ({}, "which is not the name of a file beside it"),
        "link": ({"location": "link"}, "is not a plain file; put a copy there"),
        "folder": ({"location": "folder"}, "is not a plain file"),
        "missing": ({"location": "none"}, "cannot read .*none with weights of net.onnx: No such file"),
        "too short": ({"location": "short", "length": 48}, "is too short for the weights of net.onnx"),
        "negative": ({"location": "short", "offset": -4}, "is too short for the weights of net.onnx"),
        "no number": ({"location": "short", "offset": "x"}, "does not say properly where its weights are"),
        "huge": ({"location": "short", "offset": 2**70, "length": 48}, "is too short"),
        "fewer": ({"location": "short"}, "net.onnx"),
    }


def test_weights_anywhere_else_are_refused(tmp_path: Path) -> None:
    for name, (facts, words) in elsewhere(tmp_path).items():
        path = with_weights(tmp_path / "model/net.onnx", **facts)
        with pytest.raises(UsageError, match=words) as caught:
            load(path)
        assert "\n" not in str(caught.value), name


def test_weights_in_a_graph_inside_of_a_node_are_found(tmp_path: Path) -> None:
    """onnxruntime would look for those too, from the working folder on."""
    inner = helper.make_graph(
        [helper.make_node("Mul", ["flat", "w"], ["out"])],
        "inner",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", DIM])],
        initializer=[weights_elsewhere(WEIGHTS, location="../secret")],
    )
    nodes = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("If", ["yes"], ["found"], then_branch=inner, else_branch=inner),
    ]
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    path = save(tmp_path / "net.onnx", face_model(nodes=nodes, weights=[yes]))
    with pytest.raises(UsageError, match="which is not the name of a file beside it"):
        load(path)


def test_without_cuda_a_warning_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    path = save(tmp_path / "net.onnx", face_model())
    with caplog.at_level(logging.WARNING):
        load(path, WHOLE, "cuda")
    assert "runs on the CPU, since this onnxruntime has no CUDA; install onnxruntime-gpu" in caplog.text


def test_each_option_gives_another_fingerprint(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", face_model(shape=["n", 3, "h", "w"]))
    options = [
        {},
        {"colors": "bgr"},
        {"mean": 0.0},
        {"scale": 128.0},
        {"align": "none"},
        {"align": "dlib"},
        {"flip_sum": True},
    ]
    found = [load(path, Preprocessing(**given)).fingerprint for given in options]
    assert len(set(found)) == len(options)
    assert load(path, Preprocessing(colors="rgb", mean=127.5)).fingerprint == found[0], "as without: it is the default"
