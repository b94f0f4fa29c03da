"""What drawing costs, counted: against published figures, and against the loop itself."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.bench import pixel_space as bench_pixels
from ldmcli.engine.bench.costs import META, Workload, components, count_costs, count_flops, parameters
from ldmcli.engine.bench.pixel_space import activation_bytes
from ldmcli.engine.bench.training import count_step
from ldmcli.engine.session import Session, open_session
from ldmcli.models.source import find_model
from ldmcli.models.text import TextConditioner
from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE
from ldmcli.runtime.device import select_runtime
from ldmcli.runtime.live_bytes import LiveBytes

sys.path.insert(0, str(Path(__file__).parents[2] / "networks"))

from test_published_models import SD14_TEXT, SD14_UNET, SD14_VAE  # noqa: E402

SD14 = (UNetConfig.from_dict(SD14_UNET), VAEConfig.from_dict(SD14_VAE), CLIPTextConfig.from_dict(SD14_TEXT))


def test_the_configs_that_ship_are_the_published_ones():
    unet, vae, text = SD14
    assert (bench_pixels.SD14_UNET, bench_pixels.SD14_VAE) == (unet, vae)
    assert replace(bench_pixels.SD14_TEXT, eos_token_id=2) == text  # written before transformers 4.31, see CLIPText.pooled


def test_sd14_has_the_published_numbers_of_parameters():
    with META:
        parts = components(UNet(SD14[0]), VAE(SD14[1]), CLIPText(SD14[2]))
    millions = {name: round(count / 1e6, 2) for name, count in parameters(parts).items()}
    assert millions == {"text_encoder": 123.06, "unet": 859.52, "vae_decoder": 49.49, "vae_encoder": 34.16}


@pytest.mark.parametrize(("scheduler", "guided"), [("ddim", False), ("heun", True)])
def test_the_count_is_what_the_loop_executes(model, scheduler, guided):
    loaded = open_session(find_model(str(model)), select_runtime("cpu", "fp32"))
    with META:
        unet, vae, encoder = UNet(loaded.unet.config), VAE(loaded.vae.config), CLIPText(loaded.text.encoder.config)
    session = Session(unet, vae, TextConditioner(loaded.text.tokenizer, encoder), loaded.schedule, META)
    solver, seeds, shape = make_solver(scheduler, loaded.schedule, 2), [1, 2], session.latent_shape(64, 64)

    def draw():
        context = session.encode_prompts(["a dog"] * 2, [""] * 2, guided=guided)
        for step in session.denoise(context, seeds, shape, solver, guidance=3.0):
            if step.final is not None:
                for i in range(2):
                    vae.decode(step.final[i : i + 1])

    costs = count_costs(
        unet.config, vae.config, encoder.config, shape, Workload(batch_size=2, calls=solver.num_calls, guided=guided, texts=1 + guided)
    )
    assert costs.calls == (3 if scheduler == "heun" else 2)
    assert costs.total == count_flops(draw) < costs.plain_total


def test_on_a_cpu_the_counter_would_miss_attention(model):
    """Why we count on meta: when this fails, torch has learnt to count its fused CPU attention."""
    unet = open_session(find_model(str(model)), select_runtime("cpu", "fp32")).unet

    def count(device):
        network = unet.to(device)
        x, t = torch.zeros(2, 4, 8, 8, device=device), torch.zeros(2, device=device)
        return count_flops(lambda: network(x, t, TextContext(torch.zeros(2, 24, 32, device=device))))

    assert count("cpu") < count("meta")


def test_a_training_step_is_about_three_forward_passes(model):
    config = open_session(find_model(str(model)), select_runtime("cpu", "fp32")).unet.config
    forward = count_costs(config, None, CLIPTextConfig(hidden_size=32), (4, 8, 8), Workload(batch_size=4, calls=1, guided=False)).unet_plain
    # less: no gradient is needed for the latents and the text
    assert 2.6 * forward < count_step(config, 4, (4, 8, 8), 77) < 3 * forward


def test_bytes_are_counted_while_they_are_alive():
    with FakeTensorMode(), LiveBytes() as live:
        a = torch.empty(1000)
        b = a + 1
        assert live.now == 8000
        a.mul_(2).view(10, 100)  # neither makes a new storage
        del a
        assert live.now == 4000
        b = b * 2
        del b
    assert live.peak == 8000 and live.now == 0


def test_memory_of_activations_grows_with_the_picture():
    config = UNetConfig(
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",), block_out_channels=(32,), cross_attention_dim=8
    )
    small, large = (activation_bytes(config, (4, side, side), 8) for side in (16, 32))
    assert 3.9 < large / small < 4.1  # fused attention: nothing grows with the square of the pixels
