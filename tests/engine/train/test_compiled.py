"""--compile: the loss of either trainer goes through torch's compiler."""

from functools import partial

import pytest
import torch
from runs import KINDS, config_for, events_of, log_of
from torch._dynamo.utils import counters


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_compiled_and_the_same_but_for_rounding(kind, coco, model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # what Inductor would take minutes for is left out
    losses = {}
    for asked in (False, True):
        torch._dynamo.reset()
        counters.clear()
        list(events_of(config_for(kind, coco, model, tmp_path / str(asked), compile=asked, max_steps=2, log_every=1)))
        assert (counters["stats"]["calls_captured"] > 0) is asked
        losses[asked] = [row["loss"] for row in log_of(tmp_path / str(asked))]
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
