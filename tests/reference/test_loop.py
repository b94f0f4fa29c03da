"""Our denoising loop against StableDiffusionPipeline: tiny random networks, the same prompt embeddings, the same seeds."""

import diffusers
import pytest
import torch
import transformers

from ldmcli.diffusion.catalogue import SCHEDULERS, resolve
from ldmcli.diffusion.guidance import guide, rescale
from ldmcli.diffusion.loop import denoise, last
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SEEDS, SHAPE, STEPS = [11, 12], (4, 8, 8), 6
SCHEDULE = make_schedule("scaled-linear", "epsilon")


@pytest.fixture(scope="module")
def pipeline():
    """(B, 4, 8, 8) latents, 16 x 16 pictures, 6 tokens of width 8."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=50, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=6
        )
    )
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=None,
        unet=unet.eval(),
        scheduler=diffusers.DDIMScheduler.from_config(SCHEDULE.to_file()),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def texts(pipeline):
    """Embeddings of two prompts and of two negative prompts, each (2, 6, 8)."""
    tokens = torch.randint(0, 50, (4, 6), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return pipeline.text_encoder(tokens)[0].chunk(2)


def ours(pipeline, texts, name, guidance, phi=0.0, seeds=SEEDS):
    cond, uncond = texts
    solver = make_solver(name, SCHEDULE, STEPS)

    def predict(x, index):
        if guidance <= 1:
            return None, pipeline.unet(x, solver.timesteps[index], cond).sample
        return pipeline.unet(torch.cat([x, x]), solver.timesteps[index], torch.cat([uncond, cond])).sample.chunk(2)

    noise, step_noise = noise_for(seeds, SHAPE), StepNoise(seeds, SHAPE)
    return last(denoise(predict, solver, noise, guidance=guidance, rescale=phi, step_noise=step_noise))


def theirs(pipeline, texts, name, guidance, phi=0.0):
    row = resolve(name)
    config = {**SCHEDULE.to_file(), "timestep_spacing": row.spacing, "use_karras_sigmas": row.karras, "skip_prk_steps": True}
    if row.method.endswith("-sde"):
        config["algorithm_type"] = "sde-dpmsolver++"
    pipeline.scheduler = getattr(diffusers, row.class_name).from_config(config)
    return pipeline(
        prompt_embeds=texts[0],
        negative_prompt_embeds=texts[1],
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        guidance_rescale=phi,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
    ).images


def pixels(pipeline, latents):
    """(B, 3, H, W) whole numbers 0 .. 255, as written to PNG."""
    with torch.no_grad():
        picture = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    return ((picture / 2 + 0.5).clamp(0, 1) * 255).round()


NAMES = [row.name for row in SCHEDULERS if row.ours]


@pytest.mark.parametrize(("name", "guidance"), [*((name, 7.5) for name in NAMES), ("ddim", 1.0), ("euler-a", 1.0), ("heun-karras", 1.0)])
def test_our_loop_equals_the_diffusers_pipeline(pipeline, texts, name, guidance):
    mine, wanted = ours(pipeline, texts, name, guidance), theirs(pipeline, texts, name, guidance)
    assert (mine - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())
    assert (pixels(pipeline, mine) - pixels(pipeline, wanted)).abs().max() <= 1


def test_guidance_rescale_equals_the_diffusers_pipeline(pipeline, texts):
    mine, wanted = ours(pipeline, texts, "ddim", 7.5, phi=0.7), theirs(pipeline, texts, "ddim", 7.5, phi=0.7)
    assert (mine - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())


def test_rescale_is_bit_equal_to_diffusers():
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    uncond, cond = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    guided = guide(uncond, cond, 7.5)
    for phi in (0.3, 0.7, 1.0):
        assert torch.equal(rescale(guided, cond, phi), rescale_noise_cfg(guided, cond, phi))


def test_noise_is_what_diffusers_draws_from_a_list_of_generators():
    from diffusers.utils.torch_utils import randn_tensor

    for seeds in (SEEDS, SEEDS[:1]):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        step_noise = StepNoise(seeds, SHAPE)
        assert torch.equal(noise_for(seeds, SHAPE), randn_tensor((len(seeds), *SHAPE), generator=generators))
        for step in range(3):
            assert torch.equal(step_noise(step), randn_tensor((len(seeds), *SHAPE), generator=generators))
