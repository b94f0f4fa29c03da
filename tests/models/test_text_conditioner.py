"""Prompts to states and masks."""

import pytest
import torch

from ldmcli.models.text import TextConditioner, load_conditioner


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


def test_a_caption_is_encoded_the_same_alone_and_in_company(conditioner):
    tokens = [conditioner.tokens(prompt) for prompt in ("a cat", "a dog and a cat", "")]
    together = conditioner.states(tokens)
    assert together.shape == (3, conditioner.tokenizer.length, 8) and not together.requires_grad
    alone = torch.cat([conditioner.states([one]) for one in tokens])
    assert (together - alone).abs().max() <= 1e-5
    assert not torch.allclose(together[0], together[1])
