"""The rows that an ablation can train: their names in the paper, and what each sets of stage 2."""

from __future__ import annotations

from dataclasses import dataclass

from ..defaults import EUM, LINEAR

CE, MSE = "ce", "tl+mse"

FIGURES = ("gmean", "imean", "auc", "eer", "fmr100", "fmr10")
"""The columns of the paper's table (Neto et al., BIOSIG 2021, table 1)."""


@dataclass(frozen=True)
class Kind:
    """A kind of row: its label, and the head and loss of its stage 2; None for the network itself."""

    label: str
    head: str | None
    loss: str | None


KINDS = {
    CE: Kind("CE", None, None),
    "tl": Kind("CE+TL", LINEAR, "triplet"),
    MSE: Kind("CE+TL+MSE", LINEAR, "triplet+mse"),
    "eum+tl": Kind("CE+EUM+TL", EUM, "triplet"),
    "eum+srt": Kind("CE+EUM+SRT", EUM, "srt"),
}
"""By the names of --rows: the first three are those of the paper (Neto et al., BIOSIG 2021), the others the field's
(Boutros et al., 2021)."""

CANDIDATES = (3.0, 10.0, 30.0, 100.0, 300.0)
"""The values of lambda among which `--choose-mse-weight` chooses by default."""

SCENARIO = "U-M"
"""The scenario that lambda is chosen by: unmasked references and masked probes, as the paper's second stage is for."""
