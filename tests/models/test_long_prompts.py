"""Prompts of several windows, and weights on their tokens."""

import random
from dataclasses import replace

import pytest
import torch
from published import LENGTH

from ldmcli.models.text import TextConditioner, emphasised, load_conditioner
from ldmcli.networks.attention import TextContext
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.unet import UNet
from ldmcli.prompts.weighting import weighted_parts

ROOM = LENGTH - 2


@pytest.fixture(scope="module", params=[False, True], ids=["pads are seen", "pads are hidden"])
def conditioner(request, published) -> TextConditioner:
    return load_conditioner(published, use_mask=request.param)


def chunks_as_a1111_cuts_them(ids: list[int], comma: int, room: int, back: int) -> list[list[int]]:
    """One token after the other; when a chunk is full, what stands behind its last comma moves on, if that is not far back."""
    chunks, chunk, last_comma = [], [], -1
    for token in ids:
        if token == comma:
            last_comma = len(chunk)
        elif len(chunk) == room and last_comma != -1 and len(chunk) - last_comma <= back:
            chunks.append(chunk[: last_comma + 1])
            chunk, last_comma = chunk[last_comma + 1 :], -1
        if len(chunk) == room:
            chunks.append(chunk)
            chunk, last_comma = [], -1
        chunk.append(token)
    return [*chunks, chunk] if chunk or not chunks else chunks


@pytest.mark.parametrize("seed", range(100))
def test_windows_are_cut_where_a1111_cuts_them(conditioner, seed):
    numbers = random.Random(seed)
    prompt = " ".join(numbers.choice([",", "x", "y", "cat", "dog"]) for _ in range(numbers.randrange(60)))
    windows = conditioner.windows(prompt, long=True)
    tokenizer = conditioner.tokenizer
    ids = tokenizer._tokenizer.encode(prompt).ids
    wanted = chunks_as_a1111_cuts_them(ids, tokenizer.comma, ROOM, ROOM * 20 // 75)
    for window, words in zip(windows, wanted, strict=True):
        pads = [tokenizer.pad] * (ROOM - len(words))
        assert window.ids.tolist() == [tokenizer.start, *words, tokenizer.end, *pads] and window.length == len(words) + 2
        assert (window.dropped, window.dropped_tokens, window.weights) == ("", 0, None)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("long", [False, True])
def test_words_know_the_positions_and_the_weights_of_their_tokens(conditioner, seed, long):
    numbers = random.Random(seed)
    pieces = [",", "x", "cat", "(dog:1.3)", "[y]", "(the cat)"]
    prompt = " ".join(numbers.choice(pieces) for _ in range(numbers.randrange(40)))
    windows = conditioner.windows(prompt, weighting="a1111", long=long)
    words = conditioner.tokenizer.word_positions(weighted_parts(prompt, "a1111"), long=long)
    inner = [number * LENGTH + place for number, window in enumerate(windows) for place in range(1, window.length - 1)]
    assert [position for _, _, positions in words for position in positions] == inner
    weights = torch.cat([torch.ones(LENGTH) if window.weights is None else window.weights for window in windows])
    for text, weight, positions in words:
        assert torch.allclose(weights[positions], torch.tensor(weight)) and text in prompt
        ids = torch.cat([window.ids for window in windows])[positions]
        assert "".join(conditioner.tokenizer.words(ids)) == text


def test_a_short_prompt_is_the_same_with_and_without_the_option(conditioner):
    for prompt in ("", "a cat", "cat " * ROOM):
        (window,) = conditioner.windows(prompt, long=True)
        assert torch.equal(window.ids, conditioner.tokens(prompt).ids)


def test_brackets_are_text_unless_they_are_asked_for(conditioner):
    plain = conditioner.windows("a (cat:1.3)")[0]
    assert torch.equal(plain.ids, conditioner.tokens("a (cat:1.3)").ids) and plain.weights is None
    weighted = conditioner.windows("a (cat:1.3)", weighting="a1111")[0]
    assert torch.equal(weighted.ids, conditioner.tokens("a cat").ids)
    assert weighted.weights.tolist() == pytest.approx([1, 1, 1.3, *[1] * (LENGTH - 3)])
    assert conditioner.windows(r"a \(cat\)", weighting="a1111")[0].weights is None


def test_what_is_dropped_of_a_weighted_prompt_is_told_in_its_own_words(conditioner):
    (window,) = conditioner.windows("cat " * (ROOM - 1) + "(dog and cat:1.3) [dog]", weighting="a1111")
    assert (window.dropped, window.dropped_tokens) == ("and cat dog", 3)
    assert window.weights[-2].item() == pytest.approx(1.3)


def test_weights_go_on_in_the_next_window(conditioner):
    first, second = conditioner.windows("cat " * (ROOM - 1) + "(dog and cat:1.3)", weighting="a1111", long=True)
    assert first.weights.tolist() == pytest.approx([1.0] * ROOM + [1.3, 1.0])
    assert second.weights.tolist() == pytest.approx([1.0, 1.3, 1.3, *[1.0] * (LENGTH - 3)])


def test_weights_scale_the_states_and_keep_their_mean():
    states, weights = torch.randn(3, 5, 7) + 0.3, torch.rand(3, 5) + 0.5
    weights[1] = 1
    found = emphasised(states, weights)
    for row in range(3):
        scaled = states[row] * weights[row, :, None]
        torch.testing.assert_close(found[row], scaled * states[row].mean() / scaled.mean())
        assert found[row].mean().item() == pytest.approx(states[row].mean().item(), abs=1e-6)
    assert torch.equal(found[1], states[1])  # to the bit, whoever stands beside it
    assert emphasised(states.half(), weights).dtype == torch.half


def test_states_without_a_mean_are_scaled_and_nothing_else():
    states, weights = torch.randn(2, 5, 7), torch.rand(2, 5) + 0.5
    states, weights[0] = states - states.mean(2, keepdim=True), 1  # as a layer norm without a learned bias leaves them
    found = emphasised(states, weights)
    assert torch.equal(found[0], states[0]) and torch.equal(found[1], states[1] * weights[1, :, None])


def test_a_prompt_does_not_depend_on_who_is_encoded_with_it(conditioner):
    prompts = [conditioner.windows(text, weighting="a1111") for text in ("(a cat:1.4)", "a dog", "([x]) and y")]
    together, _ = conditioner.encode(prompts)
    alone = torch.cat([conditioner.encode([prompt])[0] for prompt in prompts])
    assert (together - alone).abs().max() <= 1e-5


def test_windows_stand_one_after_the_other_and_shorter_prompts_end_in_windows_without_words(conditioner):
    long, short = conditioner.windows("cat and dog " * 8, long=True), conditioner.windows("a dog", long=True)
    assert len(long) == 3
    states, mask = conditioner.encode([long, short])
    assert states.shape[:2] == (2, 3 * LENGTH)
    blank = conditioner.tokens("")
    expected = [conditioner.states([one])[0] for one in (*long, *short, blank, blank)]
    assert (states.flatten(0, 1) - torch.cat(expected)).abs().max() <= 1e-5
    if conditioner.use_mask:
        lengths = [one.length for one in (*long, *short)]
        assert mask.unflatten(1, (3, LENGTH)).sum(2).flatten().tolist() == [*lengths, 0, 0]
    else:
        assert mask is None


def test_a_model_that_hides_pads_does_not_see_windows_without_words(published):
    conditioner = replace(load_conditioner(published), use_mask=True)
    torch.manual_seed(0)
    unet = UNet(
        UNetConfig(
            block_out_channels=(8, 16), down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
            layers_per_block=1, norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
        )
    ).eval().requires_grad_(False)  # fmt: skip
    short, long = conditioner.windows("a dog", long=True), conditioner.windows("cat and dog " * 8, long=True)
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([500])
    alone = unet(x, t, TextContext(*conditioner.encode([short])))
    states, mask = conditioner.encode([short, long])
    beside = unet(x.expand(2, -1, -1, -1), t.expand(2), TextContext(states, mask))
    assert (beside[:1] - alone).abs().max() <= 1e-5 < (beside[1:] - alone).abs().max()
