"""The probe on real photographs and a real network's penultimate features. Skipped where EFFROB_REAL is not set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from effrob.cli import main
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.heads.linear import LinearProbe


@pytest.mark.filterwarnings(
    "ignore:The number of unique classes:UserWarning"
)  # 650 photographs of 500 classes are just that
def test_half_of_the_photographs_teach_what_a_converged_reference_learns(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    loader = f"{real / 'networks.py'}:mobilenet_v1_025_128"
    pixels = "resize=146,crop=128,interpolation=bilinear,mean=0.5,std=0.5"
    done = CliRunner().invoke(main, ["register", "mobilenet", "--loader", loader, "--pixels", pixels])
    assert done.exit_code == 0, done.output
    request = Request(
        models=("mobilenet",),
        shifts=("imagenet",),
        data=real,
        partial=True,
        results=tmp_path / "results",
        cache=tmp_path / "cache",
        progress=False,
    )
    evaluation = Evaluation(request)
    assert not evaluation.run().failures
    cell = evaluation.tasks[0]
    features = evaluation._features(cell, cell.shift)
    assert features.meta["kind"] == "penultimate"
    x, y = features.array[cell.shift.rows], cell.shift.targets
    order = np.argsort(y, kind="stable")
    mine, other = order[::2], order[1::2]
    other = other[np.isin(y[other], y[mine])]
    assert len(mine) == 650 and len(other) > 400
    for c in (1e-2, 1.0, 100.0):
        ours = LinearProbe(C=c).fit(x[mine], y[mine])
        theirs = LogisticRegression(C=c, tol=1e-8, max_iter=20_000).fit(x[mine].astype(np.float64), y[mine])
        told = ours.score(x[other], y[other]), theirs.score(x[other].astype(np.float64), y[other])
        assert abs(told[0] - told[1]) <= 0.002, told
        assert told[0] > 0.1
