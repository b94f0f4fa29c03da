"""train-unet --init on models in the shape of Stable Diffusion: what it takes over from them, and that it learns."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline import drawn_by_diffusers
from runs import events_of
from tiny import make_coco, make_pipeline

from ldmcli.config.training import TrainUNetConfig
from ldmcli.diffusion.schedule import make_schedule, schedule_from_file
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.session import open_session
from ldmcli.engine.train.initial_weights import initial_unet, load_frozen, resolve_parts, resolve_schedule
from ldmcli.errors import LdmError, NotFound, UsageError
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
