"""train-unet --init on models in the shape of Stable Diffusion: what it takes over from them, and that it learns."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from families import build, write_configs
from PIL import Image
from pipeline import drawn_by_diffusers
from runs import events_of
from safetensors.torch import load_file, save_file
from tiny import make_coco, make_pipeline

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.cache import to_unit_range
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_square
from ldmcli.diffusion.schedule import make_schedule, schedule_from_file
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.parts import make_codec
from ldmcli.engine.session import open_session
from ldmcli.engine.train.initial_weights import initial_unet, load_frozen, resolve_parts, resolve_schedule
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.models.loading import load_vae
from ldmcli.models.source import find_model
from ldmcli.outputs.images import to_pillow
from ldmcli.records.notes import Note
from ldmcli.runtime.device import select_runtime

pytestmark = pytest.mark.early

SIZE = 64


@pytest.fixture(scope="module", params=[1, 2])
def published(request, stable_diffusion):
    """Stable Diffusion 1.x (epsilon) and 2.x (v): folder, fp16 variant and single file."""
    return stable_diffusion(request.param)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Three pictures."""
    return make_coco(tmp_path_factory.mktemp("few") / "coco", count=3)


def config_from(coco, init, output, **changes):
    return TrainUNetConfig(
        data=coco, output=output, init=str(init), device="cpu",
        **{"size": SIZE, "batch_size": 2, "max_steps": 1, "lr": 1e-4, "warmup": 0, "held_out": 0.1, "ema": 0.9, **changes},
    )  # fmt: skip


def settled(config):
    """(the config as the run takes it, its schedule)."""
    config = resolve_parts(config)
    frozen = load_frozen(config)
    return resolve_schedule(config, frozen, initial_unet(config, frozen))


@pytest.mark.parametrize("form", ["diffusers", "fp16", "single.safetensors"])
def test_a_run_from_a_published_model_is_a_model_of_its_kind(published, form, few, tmp_path):
    """VAE, text tower, tokenizer and schedule come along; what is shipped opens in diffusers without a word about variants."""
    words = {"tokenizer": str(published / "diffusers" / "tokenizer")} if form.endswith(".safetensors") else {}
    (tmp_path / "prompts.txt").write_text("a cat\n")
    short = {"held_out": 0.0, "ema": 0.0, "prompts": tmp_path / "prompts.txt"}
    events = list(events_of(config_from(few, published / form, tmp_path / "run", **short, **words)))
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    kind = json.loads((published / "diffusers" / "scheduler" / "scheduler_config.json").read_text())["prediction_type"]
    assert f"schedule scaled-linear and prediction {kind.removesuffix('_prediction')}" in notes
    # the configs say 512; a file has none, and Stable Diffusion 2.x with v is the one for 768 pixels
    side = 768 if form == "single.safetensors" and kind == "v_prediction" else 512
    assert f"made for pictures of {side} pixels" in notes
    written = json.loads((tmp_path / "run" / "model" / "scheduler" / "scheduler_config.json").read_text())
    assert (written["beta_start"], written["beta_end"], written["prediction_type"]) == (0.00085, 0.012, kind)
    path = tmp_path / "ours.png"
    session = open_session(find_model(str(tmp_path / "run")), select_runtime("cpu", "fp32"))
    assert session.native_size == SIZE
    ours = drawn(session, ["a cat! and a dog"], path)
    (theirs,) = drawn_by_diffusers(tmp_path / "run" / "model", "DDIMScheduler", ["a cat! and a dog"], [0], steps=2, cfg=3.0)
    assert np.abs(ours - theirs).max() <= 2


def drawn(session, prompts, path):
    context = session.encode_prompts(prompts, [""] * len(prompts), guided=True)
    solver = make_solver("ddim", session.schedule, 2)
    for step in session.denoise(context, [0], session.latent_shape(SIZE, SIZE), solver, guidance=3.0):
        latents = step.final
    to_pillow(session.decode(latents))[0].save(path)
    return np.asarray(Image.open(path)).astype(int)


def test_what_is_typed_wins_over_the_model(coco, model, published, tmp_path):
    asked = config_from(coco, published / "diffusers", tmp_path, vae=str(model), schedule="cosine", prediction="v")
    config, schedule = settled(replace(asked, text_encoder=None))
    assert (config.vae, config.text_encoder) == (str(model), asked.init)
    assert torch.equal(schedule.betas, make_schedule("cosine", "v").betas) and schedule.prediction == "v"


def test_the_end_in_noise_can_be_asked_of_a_model_that_predicts_v(coco, model, tmp_path):
    config, schedule = settled(config_from(coco, model, tmp_path, zero_terminal_snr=True))
    assert config.zero_terminal_snr and schedule.zero_snr and schedule.file_spacing == "trailing"
    assert torch.equal(schedule.betas, make_schedule("cosine", "v", zero_snr=True).betas)
    with pytest.raises(UsageError, match="--zero-terminal-snr with --prediction epsilon"):
        settled(config_from(coco, model, tmp_path, prediction="epsilon", zero_terminal_snr=True))


def test_unusual_betas_of_the_model_are_kept(coco, tmp_path):
    """As written by other trainers; the file that the run ships must say the same."""
    base = make_pipeline(tmp_path / "base")
    path = base / "scheduler" / "scheduler_config.json"
    body = {**json.loads(path.read_text()), "beta_schedule": "linear", "beta_start": 0.0015, "beta_end": 0.0195, "set_alpha_to_one": True}
    path.write_text(json.dumps(body))
    config, schedule = settled(config_from(coco, base, tmp_path / "run"))
    again = schedule_from_file(schedule.to_file())
    assert config.schedule == "linear" and torch.equal(schedule.betas, torch.linspace(0.0015, 0.0195, 1000))
    assert torch.equal(again.betas, schedule.betas) and again.set_alpha_to_one and again.prediction == schedule.prediction


def test_hidden_pads_are_taken_over(coco, tmp_path):
    base = make_pipeline(tmp_path / "base")
    index = json.loads((base / "model_index.json").read_text())
    (base / "model_index.json").write_text(json.dumps({**index, "_ldm": {"text_mask": True}}))
    assert resolve_parts(config_from(coco, base, tmp_path / "run")).text_mask


def test_a_unet_alone_takes_the_bundled_parts_and_the_usual_schedule(coco, model, tmp_path):
    shutil.copytree(model / "unet", tmp_path / "alone" / "unet")
    config = resolve_parts(config_from(coco, tmp_path / "alone", tmp_path / "run"))
    assert (config.vae, config.text_encoder) == ("bundled", "bundled")
    with pytest.raises(LdmError, match="the U-Net takes 4 latent channels and the VAE makes 16"):  # said before any training
        initial_unet(config, load_frozen(config))
    config, schedule = settled(replace(config, text_encoder=str(model), vae=str(model)))
    assert (config.schedule, config.prediction) == ("cosine", "v") and schedule.steps_offset == 1


def test_a_checkpoint_file_without_a_tokenizer_says_what_to_pass(published, coco, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(NotFound, match="tokenizer"):
        load_frozen(resolve_parts(config_from(coco, published / "single.safetensors", tmp_path / "run")))


def test_a_model_that_is_not_there_is_exit_6(ldm, coco, tmp_path):
    code, out, err = ldm("train-unet", "--data", coco, "--init", tmp_path / "none", "-o", tmp_path / "run")
    assert code == 6 and "no model at" in err and not (tmp_path / "run").exists()


def in_the_shape_of_sd1(folder):
    build(write_configs(folder / "configs", 1, "v_prediction"), folder)
    return folder / "diffusers"


def of_two_levels(folder):
    return make_pipeline(folder / "base")


@pytest.mark.parametrize(
    ("make_base", "count", "size", "lr", "steps", "often"),
    [(of_two_levels, 3, 32, 8e-3, 60, 12), pytest.param(in_the_shape_of_sd1, 8, 64, 2e-3, 250, 1, marks=pytest.mark.slow)],
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
        "ema": 0.9, "cfg_dropout": 0.0,
    }  # fmt: skip
    list(events_of(config_from(data, base, tmp_path / "run", **options)))
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
    shape, solver = session.latent_shape(*pictures.shape[2:]), make_solver("ddim", session.schedule, 20)
    for step in session.denoise(context, range(len(prompts)), shape, solver, guidance=1.0):
        latents = step.final
    return (session.decode(latents)[:, None] - targets[None]).square().mean((2, 3, 4))
