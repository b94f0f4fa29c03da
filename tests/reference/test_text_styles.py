"""Weighted and long prompts, and guidance in part of the walk, against StableDiffusionPipeline on the same files."""

import diffusers
import pytest
import torch

from ldmcli.diffusion.guidance import guided_calls
from ldmcli.diffusion.loop import last
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.session import open_session
from ldmcli.models.source import find_model
from ldmcli.runtime.device import select_runtime

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SEEDS, STEPS = [11, 12], 8


@pytest.fixture(scope="module")
def session(published):
    opened = open_session(find_model(str(published)), select_runtime("cpu", "fp32"))
    with torch.no_grad():
        opened.text.encoder.final_layer_norm.bias.copy_(bias())
    return opened


def bias():
    """A trained layer norm has one, which gives the states a mean."""
    return torch.linspace(-0.5, 1.0, 8)


@pytest.fixture(scope="module")
def pipeline(published):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(published)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        pipe.text_encoder.final_layer_norm.bias.copy_(bias())
    return pipe


def ours(session, prompts, negatives, *, interval=None, **style):
    solver = make_solver("ddim", session.schedule, STEPS)
    context = session.encode_prompts(prompts, negatives, guided=True, **style)
    during = guided_calls(solver.timesteps, interval, 1000)
    return last(session.denoise(context, SEEDS, (4, 8, 8), solver, guidance=7.5, guided_calls=during))


def theirs(pipeline, embeds, negative_embeds, **more):
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    return pipeline(
        prompt_embeds=embeds, negative_prompt_embeds=negative_embeds, num_inference_steps=STEPS, guidance_scale=7.5, generator=generators,
        output_type="latent", **more,
    ).images  # fmt: skip


@torch.no_grad()
def embedded(pipeline, windows):
    """(1, K L, D) of windows, each a list of (text, weight); states scaled, then all of a window's, so that their mean is kept."""
    found = []
    for window in windows:
        words = [(token, w) for text, w in window for token in pipeline.tokenizer(text, add_special_tokens=False).input_ids]
        room = pipeline.tokenizer.model_max_length - 2
        pads = room - len(words)
        end = pipeline.tokenizer.eos_token_id
        ids = [pipeline.tokenizer.bos_token_id, *(token for token, _ in words), end, *[pipeline.tokenizer.pad_token_id] * pads]
        states = pipeline.text_encoder(torch.tensor([ids]))[0]
        weights = torch.tensor([1.0, *(w for _, w in words), 1.0, *[1.0] * pads])
        scaled = states * weights[None, :, None]
        found.append(scaled * (states.mean() / scaled.mean()))
    return torch.cat(found, 1)


def close(mine, wanted):
    return (mine - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())


def test_weighted_prompts_equal_the_pipeline_given_scaled_states(session, pipeline):
    prompts, negatives = ["a (cat:1.4) and [dog]", "((dog))"], ["(x:0.5) y"] * 2
    embeds = [[("a ", 1), ("cat", 1.4), (" and ", 1), ("dog", 1 / 1.1)]], [[("dog", 1.21)]]
    wanted = theirs(
        pipeline, torch.cat([embedded(pipeline, windows) for windows in embeds]),
        embedded(pipeline, [[("x", 0.5), (" y", 1)]]).repeat(2, 1, 1),
    )  # fmt: skip
    assert close(ours(session, prompts, negatives, weighting="a1111"), wanted)
    assert not close(ours(session, prompts, negatives), wanted)


def test_long_prompts_equal_the_pipeline_given_the_windows_one_after_the_other(session, pipeline):
    prompts, negatives = ["cat " * 10 + "and (dog:1.3) x", "dog " * 12], ["x"] * 2
    embeds = [[("cat " * 10, 1)], [("and ", 1), ("dog", 1.3), ("x", 1)]], [[("dog " * 10, 1)], [("dog dog", 1)]]
    wanted = theirs(
        pipeline, torch.cat([embedded(pipeline, windows) for windows in embeds]),
        embedded(pipeline, [[("x", 1)], []]).repeat(2, 1, 1),
    )  # fmt: skip
    assert close(ours(session, prompts, negatives, weighting="a1111", long=True), wanted)


def test_guidance_that_ends_half_way_equals_the_pipeline_that_is_told_so_by_a_callback(session, pipeline):
    solver = make_solver("ddim", session.schedule, STEPS)
    assert guided_calls(solver.timesteps, (0.5, 1.0), 1000) == (True,) * 4 + (False,) * 4

    def stop(pipe, step, timestep, tensors):
        if step == 3:
            pipe._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[1]
        return tensors

    cond, uncond = embedded(pipeline, [[("a cat", 1)]]).repeat(2, 1, 1), embedded(pipeline, [[("x", 1)]]).repeat(2, 1, 1)
    more = {"callback_on_step_end": stop, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    wanted = theirs(pipeline, cond, uncond, **more)
    assert close(ours(session, ["a cat"] * 2, ["x"] * 2, interval=(0.5, 1.0)), wanted)
    assert not close(ours(session, ["a cat"] * 2, ["x"] * 2), wanted)
