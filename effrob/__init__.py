"""effrob: is an image model robust, or merely accurate?

Public names are loaded on first use, so that reading results and fitting lines never import torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effrob.api import evaluate as evaluate
    from effrob.api import place as place
    from effrob.result_rows import ResultRows as ResultRows
    from effrob.result_rows import read as read
    from effrob.results.accuracy import Accuracy as Accuracy
    from effrob.robustness.baselines.catalogue import baseline as baseline
    from effrob.robustness.effective import assess as assess
    from effrob.robustness.effective import equivalence as equivalence
    from effrob.robustness.fit import RobustnessFit as RobustnessFit
    from effrob.robustness.fit import fit as fit
    from effrob.robustness.lines import LineOptions as LineOptions
    from effrob.robustness.multi_id import multi_id as multi_id
    from effrob.robustness.multiverse import multiverse_of as multiverse_of
    from effrob.robustness.per_image.agreement import agreement_on_the_line as agreement_on_the_line
    from effrob.robustness.per_image.per_class import per_class as per_class
    from effrob.robustness.rows import Row as Row

__version__ = "0.1.0"

# OpenMP reads this once, when torch is loaded. Its threads would spin at every barrier until the last of them is scheduled:
# beside busy neighbours that took 20 times the processor time (docs/decisions/009)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# NumPy's OpenBLAS reads this when it is loaded: its threads spin for 2**26 cycles after every product, a tenth of a second each
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

_HOME = {
    "Accuracy": "effrob.results.accuracy",
    "LineOptions": "effrob.robustness.lines",
    "ResultRows": "effrob.result_rows",
    "RobustnessFit": "effrob.robustness.fit",
    "Row": "effrob.robustness.rows",
    "agreement_on_the_line": "effrob.robustness.per_image.agreement",
    "assess": "effrob.robustness.effective",
    "baseline": "effrob.robustness.baselines.catalogue",
    "equivalence": "effrob.robustness.effective",
    "evaluate": "effrob.api",
    "fit": "effrob.robustness.fit",
    "place": "effrob.api",
    "multi_id": "effrob.robustness.multi_id",
    "multiverse_of": "effrob.robustness.multiverse",
    "per_class": "effrob.robustness.per_image.per_class",
    "read": "effrob.result_rows",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'effrob' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
