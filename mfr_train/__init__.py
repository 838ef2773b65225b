"""mfr_train: train and measure masked face recognition.

run = mfr_train.train(data="smfd", recipe="small")
report = mfr_train.evaluate(data="smfd", run=run)
report["U-M"].eer
"""

from typing import TYPE_CHECKING

from maskgen.errors import MaskgenError, UsageError
from maskgen.lazy import attributes

if TYPE_CHECKING:
    from .ablation.ablate import Ablation, AblationRow, ablate
    from .ablation.ablate_settings import AblateSettings
    from .comparison.compare import SystemComparison, compare
    from .data.shard_dataset import MixedDataset, ShardDataset
    from .evaluation.eval_settings import EvalSettings
    from .evaluation.evaluate import evaluate
    from .evaluation.measurement import Measurement
    from .evaluation.metrics import Figures, figures
    from .evaluation.plotting import plot_det, plot_roc, plot_scores
    from .evaluation.report import Report
    from .explaining.attention import attention
    from .explaining.explain import explain
    from .explaining.explain_settings import ExplainSettings
    from .explaining.explanation import Explanation
    from .networks.model import Model, load_model
    from .networks.onnx_export import export
    from .networks.preprocessing import Preprocessing
    from .reporting.report import report
    from .training.curve import LearningCurve
    from .training.run import Run, train
    from .training.train_settings import TrainSettings
    from .version import __version__

__all__ = [
    "AblateSettings",
    "Ablation",
    "AblationRow",
    "EvalSettings",
    "ExplainSettings",
    "Explanation",
    "Figures",
    "LearningCurve",
    "MaskgenError",
    "Measurement",
    "MixedDataset",
    "Model",
    "Preprocessing",
    "Report",
    "Run",
    "ShardDataset",
    "SystemComparison",
    "TrainSettings",
    "UsageError",
    "__version__",
    "ablate",
    "attention",
    "compare",
    "evaluate",
    "explain",
    "export",
    "figures",
    "load_model",
    "plot_det",
    "plot_roc",
    "plot_scores",
    "report",
    "train",
]

__getattr__, __dir__ = attributes(
    __name__,
    {
        "AblateSettings": "ablation.ablate_settings",
        "Ablation": "ablation.ablate",
        "AblationRow": "ablation.ablate",
        "EvalSettings": "evaluation.eval_settings",
        "ExplainSettings": "explaining.explain_settings",
        "Explanation": "explaining.explanation",
        "Figures": "evaluation.metrics",
        "LearningCurve": "training.curve",
        "Measurement": "evaluation.measurement",
        "MixedDataset": "data.shard_dataset",
        "Model": "networks.model",
        "Preprocessing": "networks.preprocessing",
        "Report": "evaluation.report",
        "Run": "training.run",
        "ShardDataset": "data.shard_dataset",
        "SystemComparison": "comparison.compare",
        "TrainSettings": "training.train_settings",
        "__version__": "version",
        "ablate": "ablation.ablate",
        "attention": "explaining.attention",
        "compare": "comparison.compare",
        "evaluate": "evaluation.evaluate",
        "explain": "explaining.explain",
        "export": "networks.onnx_export",
        "figures": "evaluation.metrics",
        "load_model": "networks.model",
        "plot_det": "evaluation.plotting",
        "plot_roc": "evaluation.plotting",
        "plot_scores": "evaluation.plotting",
        "report": "reporting.report",
        "train": "training.run",
    },
)
