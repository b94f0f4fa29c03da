"""With --text-mask only the real tokens of a caption are kept, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import config_for, events_of, log_of, newest

from ldmcli.data.cache import Entry, filled
from ldmcli.data.layouts import load_captioned
from ldmcli.data.row_views import Ragged
from ldmcli.engine.train import unet_caches
from ldmcli.engine.train.text_cache import encode_captions
from ldmcli.models.text import load_conditioner


def test_rows_of_unlike_length_come_back_with_zeros_behind_them():
    values = torch.arange(1, 13, dtype=torch.float16).view(6, 2)
    rows = Ragged(values, torch.tensor([2, 1, 0, 3]), 4)
    assert rows.shape == (4, 4, 2) and len(rows) == 4
    got = rows[torch.tensor([3, 0, 2, 3])]
    assert got[0].tolist() == [[7, 8], [9, 10], [11, 12], [0, 0]] and torch.equal(got[0], got[3])
    assert got[1].tolist() == [[1, 2], [3, 4], [0, 0], [0, 0]] and not got[2].any()


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_an_interrupted_entry_of_rows_of_unlike_length_is_gone_on_with(tmp_path, stop):
    lengths = torch.tensor([3, 1, 4, 1, 5])
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])

    def compute(first, last):
        return {"states": torch.arange(starts[first], starts[last])[:, None].float()}

    events = filled(tmp_path / "x", 5, 2, compute, "encode", starts=starts)
    for _ in range(stop):
        next(events)
    events.close()
    *_, entry = filled(tmp_path / "x", 5, 2, compute, "encode", starts=starts)
    assert isinstance(entry, Entry) and entry.arrays["states"].flatten().tolist() == list(range(14))


@pytest.fixture(scope="module")
def ragged(coco, model, tmp_path_factory):
    """A run with --text-mask."""
    output = tmp_path_factory.mktemp("ragged")
    list(events_of(config_for("unet", coco, model, output, text_mask=True, max_steps=4)))
    return output


def test_only_the_real_tokens_are_on_disk(ragged, coco, model):
    (path,) = (ragged / "cache").glob("text-*/states.npy")
    conditioner = load_conditioner(model)
    captions = [*dict.fromkeys(c for image in load_captioned(coco).images for c in image.captions), ""]
    tokens = [conditioner.tokens(caption) for caption in captions]
    stored = np.load(path)
    assert stored.shape == (sum(t.length for t in tokens), 32) and stored.dtype == np.float16
    assert len(stored) < 0.75 * len(captions) * conditioner.tokenizer.length
    whole = conditioner.states([conditioner.tokens("a red square")])[0, : conditioner.tokens("a red square").length]
    where = sum(t.length for t in tokens[: captions.index("a red square")])
    np.testing.assert_allclose(stored[where : where + len(whole)], whole.numpy(), atol=2e-3)


def test_training_goes_through_the_bits_of_a_cache_of_all_positions(ragged, coco, model, tmp_path, monkeypatch):
    def all_positions(cache, captions, tokens, frozen, states, process_group, at_once):
        return encode_captions(
            cache, captions, tokens, replace(frozen, text=replace(frozen.text, use_mask=False)), states, process_group, at_once
        )

    monkeypatch.setattr(unet_caches, "encode_captions", all_positions)
    list(events_of(config_for("unet", coco, model, tmp_path, text_mask=True, max_steps=4)))
    (path,) = (tmp_path / "cache").glob("text-*/states.npy")
    assert np.load(path).ndim == 3
    assert log_of(tmp_path) == log_of(ragged)
    one, other = newest(tmp_path).tensors("network"), newest(ragged).tensors("network")
    assert all(torch.equal(one[key], other[key]) for key in one)
