"""`mfr export`: a model as one ONNX file that holds its scaling, its network and its embedding."""

from __future__ import annotations

import dataclasses
import os
import warnings
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
from . import onnx_metadata, run_files
from .model import STAGE_1, Model, load_model
from .module import FaceModule
from .preprocessing import NHWC

OPSET = 17
TOLERANCE = 1e-5
"""How far a component of an embedding, which has length 1, may differ between onnxruntime and PyTorch."""

FACES, EMBEDDING, MASKED_EMBEDDING = "faces", "embedding", "masked_embedding"


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
    onnxruntime computes from the file is compared with PyTorch before it is written.

    Args:
        source: A run folder, `dlib`, or a file of weights, as for `load_model`.
        out: The file to write.
        stage: `classify` to leave out what stage 2 trained; see `load_model`.

    Returns:
        The file.

    Raises:
        UsageError: If there is no such model, PyTorch does not run its network, or the file exists.
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
    data = _with_metadata(_graph(model), model, _origin(model, Path(source)))
    _check(data, model)
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


def _with_metadata(graph: bytes, model: Model, origin: dict[str, str]) -> bytes:
    import onnx

    made = onnx.load_model_from_string(graph)
    # The file scales the values and adds mirror images itself.
    inside = dataclasses.replace(
        model.preprocessing, mean=None, scale=None, flip_sum=False, layout=NHWC, output=EMBEDDING
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


def _check(data: bytes, model: Model) -> None:
    """Raises `MaskgenError` if onnxruntime does not compute from a file what PyTorch computes."""
    import onnxruntime

    module, _ = _exported(model)
    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for count in (1, 3):
            faces = _faces(model, count)
            with torch.inference_mode():
                wanted = module(torch.from_numpy(faces))
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            for found, right in zip(session.run(None, {FACES: faces}), wanted, strict=True):
                if not np.abs(found - right.numpy()).max() <= TOLERANCE:
                    raise MaskgenError(
                        f"the ONNX file would give other embeddings than {model.name}, by "
                        f"{np.abs(found - right.numpy()).max():.2g}; nothing was written. Try other versions of "
                        "PyTorch and onnxruntime."
                    )
    except MaskgenError:
        raise
    except Exception as error:  # onnxruntime's errors have no class in common but this one
        raise MaskgenError(f"onnxruntime cannot run the exported file ({short(error)}); nothing was written.") from None
