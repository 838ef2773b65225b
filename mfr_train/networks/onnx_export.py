"""`mfr export`: a model as one ONNX file that holds its scaling, its network and its embedding."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from maskgen.dataset.card import LICENCE
from maskgen.errors import MaskgenError, UsageError, installing, short
from maskgen.storage import files

from ..keywords import AnyPath
from ..version import __version__
from . import onnx_file, onnx_metadata, run_files
from .backbone import Floats
from .backbones import load_backbone
from .faces import Faces
from .model import STAGE_1, Model, load_model
from .module import FaceModule
from .preprocessing import NHWC, RGB, WHOLE, Preprocessing

OPSET = 17
TOLERANCE = 1e-5
"""How far a component of an embedding, which has length 1, may differ between onnxruntime and PyTorch."""

FACES, EMBEDDING, MASKED_EMBEDDING = "faces", "embedding", "masked_embedding"


Reference = Callable[[Faces], list[Floats]]
"""Faces, uint8 (N, S, S, 3) RGB -> what each output of the file should give for them."""


class _BothEmbeddings(nn.Module):
    """The embedding of each face as an unmasked one, and as a masked one."""

    def __init__(self, module: FaceModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        everywhere = torch.ones(faces.shape[0], dtype=torch.bool)
        return self.module(faces), self.module(faces, everywhere)


def export(source: AnyPath, out: AnyPath, *, stage: str | None = None) -> Path:
    """Writes a model as one ONNX file, which `mfr eval --model` and every ONNX runtime can run.

    The input is `faces`, uint8 (N, S, S, 3) RGB, for any N: the file scales the values itself. The output is
    `embedding`, float32 (N, d) of length 1. A model with EUM has a second output, `masked_embedding`, for pictures of
    masked faces. Faces must be cut out and scaled to S x S as the metadata `mfr.align` and `mfr.input_size` say. What
    onnxruntime computes from the file is compared with the model before it is written.

    Args:
        source: A run folder, `dlib`, or a file of weights, as for `load_model`.
        out: The file to write.
        stage: `classify` to leave out what stage 2 trained; see `load_model`.

    Returns:
        The file.

    Raises:
        UsageError: If there is no such model, it is an ONNX file or a function already, or the file exists.
        MaskgenError: If the outputs differ by more than 1e-5, or the file cannot be written.

    Example:
        >>> export("runs/001", "model.onnx")  # doctest: +SKIP
        PosixPath('model.onnx')
    """
    path = Path(out)
    if os.path.lexists(path):
        raise UsageError(f"{path} exists; give another file, or delete it.")
    _check_installed()
    model = load_model(source, device="cpu", stage=stage)
    own = Path(source) / run_files.ONNX_BACKBONE
    if model.backbone.module is None and own.is_file():
        graph, reference = _merged(model, own), _on_faces(model, own)
    else:
        graph, reference = _graph(model), _by_torch(model)
    data = _with_metadata(graph, model, _origin(model, Path(source)))
    _check(data, model, reference)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, data)
    except OSError as error:
        raise MaskgenError(f"cannot write {path} ({error.strerror or error}); give another file.") from None
    return path


def _check_installed() -> None:
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise UsageError(f"mfr export needs {name}, which is not installed; {installing('onnx')}.") from None


def _exported(model: Model) -> tuple[nn.Module, list[str]]:
    """What is exported, and the names of its outputs."""
    if model.unmasking:
        return _BothEmbeddings(model.module).eval(), [EMBEDDING, MASKED_EMBEDDING]
    return model.module, [EMBEDDING]


def _graph(model: Model) -> bytes:
    """The graph of a model, by PyTorch's exporter that needs no further package."""
    module, outputs = _exported(model)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "graph.onnx"
        warnings.simplefilter("ignore")  # this exporter is not the newest one; `_check` compares what it wrote
        torch.onnx.export(
            module,
            (torch.from_numpy(_faces(model, 2)),),
            file,
            input_names=[FACES],
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in (FACES, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
        return file.read_bytes()


def _merged(model: Model, own: Path) -> bytes:
    """The graph of a run on an ONNX network, which is put together from the network and what stage 2 trained."""
    from . import onnx_merge

    head = (model.weight, model.bias) if model.weight is not None and model.bias is not None else None
    names = (FACES, EMBEDDING, MASKED_EMBEDDING)
    return onnx_merge.graph_of(onnx_file.read(own), own, model.preprocessing, head, model.unmasking, names)


def _on_faces(model: Model, own: Path) -> Reference:
    """The embeddings of such a run, of faces that are cut out already."""
    whole = load_backbone(str(own), given=Preprocessing(align=WHOLE))

    def embedded(faces: Faces) -> list[Floats]:
        features = whole.features(faces, np.zeros((len(faces), 68, 2), np.float32))
        return [model.project(features, masked) for masked in ((False, True) if model.unmasking else (False,))]

    return embedded


def _by_torch(model: Model) -> Reference:
    module, _ = _exported(model)

    @torch.inference_mode()
    def embedded(faces: Faces) -> list[Floats]:
        found = module(torch.from_numpy(faces))
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]

    return embedded


def _with_metadata(graph: bytes, model: Model, origin: dict[str, str]) -> bytes:
    import onnx

    made = onnx.load_model_from_string(graph)
    # The file orders the channels, scales the values and adds mirror images itself.
    inside = dataclasses.replace(
        model.preprocessing, colors=RGB, mean=None, scale=None, flip_sum=False, layout=NHWC, output=EMBEDDING
    )
    facts = onnx_metadata.written(inside, MASKED_EMBEDDING if model.unmasking else None, origin)
    onnx.helper.set_model_props(made, facts)
    made.producer_name, made.producer_version = "mfr", __version__
    return made.SerializeToString(deterministic=True)


def _origin(model: Model, source: Path) -> dict[str, str]:
    """Where a model comes from: name, network, version, and the data that a run was trained on."""
    scaling = model.preprocessing
    found = {
        "version": __version__,
        "name": model.name,
        "network": model.backbone.name,
        "fingerprint": model.fingerprint,
        "scaled_inside": f"(x - {scaling.mean}) / {scaling.scale}",
    }
    record = run_files.record_of(source) if source.is_dir() else {}
    if isinstance(record.get("dataset"), str):
        found |= {"run": model.name.removesuffix(STAGE_1), "dataset": record["dataset"], "licence": LICENCE}
    return found


def _faces(model: Model, count: int) -> np.ndarray:
    size = model.preprocessing.input_size
    assert size
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def _check(data: bytes, model: Model, reference: Reference) -> None:
    """Raises `MaskgenError` if onnxruntime does not compute from a file what the model computes."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for count in (1, 3):
            faces = _faces(model, count)
            for found, wanted in zip(session.run(None, {FACES: faces}), reference(faces), strict=True):
                if not np.abs(found - wanted).max() <= TOLERANCE:
                    raise MaskgenError(
                        f"the ONNX file would give other embeddings than {model.name}, by "
                        f"{np.abs(found - wanted).max():.2g}; nothing was written. Try other versions of PyTorch and "
                        "onnxruntime."
                    )
    except MaskgenError:
        raise
    except Exception as error:  # onnxruntime's errors have no class in common but this one
        raise MaskgenError(f"onnxruntime cannot run the exported file ({short(error)}); nothing was written.") from None
