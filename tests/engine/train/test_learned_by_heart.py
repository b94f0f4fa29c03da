"""train-unet learns: a few pictures, by heart."""

import shutil

import pytest
import torch
from families import build, write_configs
from runs import events_of
from safetensors.torch import load_file, save_file
from tiny import make_coco, make_pipeline

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.cache import to_unit_range
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_square
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.parts import make_codec
from ldmcli.engine.session import open_session
from ldmcli.models.loading import load_vae
from ldmcli.models.source import find_model
from ldmcli.runtime.device import select_runtime

pytestmark = pytest.mark.early


def in_the_shape_of_sd1(folder):
    build(write_configs(folder / "configs", 1, "v_prediction"), folder)
    return folder / "diffusers"


def of_two_levels(folder):
    return make_pipeline(folder / "base")


@pytest.mark.parametrize(
    ("make_base", "count", "size", "lr", "steps", "often"),
    [(of_two_levels, 3, 32, 8e-3, 50, 12), pytest.param(in_the_shape_of_sd1, 8, 64, 2e-3, 250, 1, marks=pytest.mark.slow)],
)
def test_a_few_pictures_are_learned_by_heart(make_base, count, size, lr, steps, often, tmp_path):
    """From random weights: a model's pictures come nearer to those that their prompts were trained on.

    Distances are from what the VAE makes of a target, since the decoder, as random as all else, shows nothing nearer.
    often: each picture in a step, under as many timesteps.
    """
    base = make_base(tmp_path)
    images = load_captioned(make_coco(tmp_path / "coco", count=count)).images
    data = repeated(images, often, tmp_path / "data")
    pictures = to_unit_range(torch.stack([read_square(image.path, size) for image in images]))
    whiten(base, pictures)
    options = {
        "size": size, "batch_size": count * often, "max_steps": steps, "lr": lr, "lr_schedule": "constant", "warmup": 5, "held_out": 0.0,
        "ema": 0.9, "cfg_dropout": 0.0, "device": "cpu",
    }  # fmt: skip
    list(events_of(TrainUNetConfig(data=data, output=tmp_path / "run", init=str(base), **options)))
    prompts = [image.captions[0] for image in images]
    before, after = (distances(source, prompts, pictures) for source in (base, tmp_path / "run"))
    assert after.diag().mean() < 0.5 * before.diag().mean()
    assert (after.diag() < before.diag()).sum() >= count - 1
    nearest = torch.arange(count)
    assert (after.argmin(1) == nearest).sum() >= 0.75 * count > (before.argmin(1) == nearest).sum()


def repeated(images, often, folder):
    """A folder in which every picture, with its first caption, is there so many times."""
    folder.mkdir()
    for number, image in enumerate(images):
        for copy in range(often):
            shutil.copy(image.path, folder / f"{copy:02}-{number}.png")
            (folder / f"{copy:02}-{number}.txt").write_text(image.captions[0])
    return folder


def whiten(model, pictures):
    """Make the latents of these pictures have mean 0, variance 1 and little posterior noise, as a trained VAE's have."""
    path = model / "vae" / "diffusion_pytorch_model.safetensors"
    weights, vae = load_file(path), load_vae(model)
    with torch.no_grad():
        mean, _ = make_codec(vae).encode(pictures)
    scale, centre = 1 / mean.std((0, 2, 3)), mean.mean((0, 2, 3)) / vae.config.scaling_factor
    channels = len(scale)
    weight, bias = weights["quant_conv.weight"], weights["quant_conv.bias"]
    weight[:channels] *= scale[:, None, None, None]
    bias[:channels] = scale * (bias[:channels] - centre)
    weight[channels:], bias[channels:] = 0, -8
    save_file(weights, path, metadata={"format": "pt"})


def distances(model, prompts, pictures):
    """(drawn, target) mean squared distances of what a model draws for each prompt to what its VAE makes of each picture."""
    session = open_session(find_model(str(model)), select_runtime("cpu", "fp32"))
    with torch.no_grad():
        targets = session.decode(session.codec.encode(pictures)[0])
    context = session.encode_prompts(prompts, [""] * len(prompts), guided=False)
    shape, solver = session.latent_shape(*pictures.shape[2:]), make_solver("ddim", session.schedule, 10)
    for step in session.denoise(context, range(len(prompts)), shape, solver, guidance=1.0):
        latents = step.final
    return (session.decode(latents)[:, None] - targets[None]).square().mean((2, 3, 4))
