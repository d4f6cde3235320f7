"""Products in bfloat16 stand in for float32's only where the processor is faster in it."""

from __future__ import annotations

import pytest
import torch

from effrob.arithmetic import slowdown
from effrob.logistic import losses

ABLE = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("able", "times", "wanted"), [(True, 0.5, "bfloat16"), (True, 1.9, "float32"), (False, 0.5, "float32")]
)
def test_bfloat16_where_it_is_there_and_faster(
    able: bool, times: float, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ABLE:
        monkeypatch.setattr(torch.cpu, name, lambda: able, raising=False)
    monkeypatch.setattr(losses, "slowdown", lambda dtype: times)
    assert str(losses.low_precision_dtype(torch.float32, CPU)) == f"torch.{wanted}"
    assert losses.low_precision_dtype(torch.float64, CPU) == torch.float64


def test_a_trial_tells_float32_from_what_is_dearer() -> None:
    assert 0.5 < slowdown(torch.float32) < 2.0
    assert slowdown(torch.float64) > 1.2
