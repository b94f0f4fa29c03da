"""Prompts to states and masks."""

import pytest
import torch

from ldmcli.models.text import REMEMBERED, TextConditioner, load_conditioner
from ldmcli.prompts.length import MOST_CHARACTERS


@pytest.fixture(params=[False, True], ids=["pads are seen", "pads are hidden"])
def conditioner(request, published) -> TextConditioner:
    return load_conditioner(published, use_mask=request.param)


def test_the_mask_ends_with_the_end_token(conditioner):
    tokens = [conditioner.tokens(prompt) for prompt in ("", "a cat", "cat " * 40)]
    mask = conditioner.mask(tokens)
    if not conditioner.use_mask:
        assert mask is None
        return
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [2, 4, conditioner.tokenizer.length]
    assert all((row.int().diff() <= 0).all() for row in mask)


def test_a_prompt_is_cut_at_a_stated_length_and_tokenised_once(conditioner, monkeypatch):
    asked = []
    original = conditioner.tokenizer.windows
    monkeypatch.setattr(conditioner.tokenizer, "windows", lambda parts, **more: asked.append(parts) or original(parts, **more))
    prompt = "cat " * 2_500_000
    first = [conditioner.windows(prompt, weighting=weighting) for weighting in ("none", "a1111") for _ in range(3)]
    assert len(asked) == 2 and sum(len(text) for text, _ in asked[0]) == MOST_CHARACTERS
    assert all(one[0].ids.equal(first[0][0].ids) for one in first)
    for number in range(2 * REMEMBERED):  # nor is everything kept
        conditioner.windows(str(number))
    assert len(conditioner._seen) <= REMEMBERED


def test_a_caption_is_encoded_the_same_alone_and_in_company(conditioner):
    tokens = [conditioner.tokens(prompt) for prompt in ("a cat", "a dog and a cat", "")]
    together = conditioner.states(tokens)
    assert together.shape == (3, conditioner.tokenizer.length, 8) and not together.requires_grad
    alone = torch.cat([conditioner.states([one]) for one in tokens])
    assert (together - alone).abs().max() <= 1e-5
    assert not torch.allclose(together[0], together[1])
