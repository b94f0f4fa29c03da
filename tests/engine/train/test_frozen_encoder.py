"""train-vae --freeze-encoder: the decoder trains, the latents stay as they are."""

import shutil

import pytest
import torch
from runs import STILL, assert_same_bits, config_for, events_of, stop_after
from safetensors.torch import load_file, save_file

from ldmcli.errors import UsageError
from ldmcli.models.loading import load_vae

VAE_FILE = "diffusion_pytorch_model.safetensors"


def frozen(coco, model, output, **changes):
    return config_for("vae", coco, model, output, **{"init": str(model), "freeze_encoder": True, **changes})


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_latents_keep_their_bits_and_the_decoder_does_not(coco, model, tmp_path, optimizer):
    said = [str(getattr(event, "text", "")) for event in events_of(frozen(coco, model, tmp_path, max_steps=3, optimizer=optimizer))]
    assert any("the encoder is frozen" in text for text in said)
    before, after = load_vae(model), load_vae(tmp_path / "model")
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        old, new = before.encode(pictures), after.encode(pictures)
        assert torch.equal(old.mean, new.mean) and torch.equal(old.logvar, new.logvar)
        assert (before.decode(old.mean) - after.decode(old.mean)).abs().max() > 1e-4
    assert before.config == after.config
    saved = load_file(tmp_path / "model" / "vae" / VAE_FILE)
    assert set(saved) == set(load_file(model / "vae" / VAE_FILE))


def test_it_learns(coco, model, tmp_path):
    start = dict(_losses(coco, model, tmp_path / "run", max_steps=40, lr=1e-3))
    assert sum(start[step] for step in range(36, 41)) < 0.95 * sum(start[step] for step in range(1, 6))


def _losses(coco, model, output, **changes):
    for event in events_of(frozen(coco, model, output, **{**STILL, **changes})):
        if hasattr(event, "terms"):
            yield event.step, event.terms["loss"]


def test_an_interrupted_run_ends_with_the_bits_of_one_that_ran_through(coco, model, tmp_path):
    list(events_of(frozen(coco, model, tmp_path / "straight", max_steps=5)))
    stop_after(frozen(coco, model, tmp_path / "run", max_steps=5), 2)
    list(events_of(frozen(coco, model, tmp_path / "run", max_steps=5, resume="auto")))
    assert_same_bits(tmp_path / "straight", tmp_path / "run", step=5)


def test_the_encoder_must_be_the_same_when_a_run_is_resumed(coco, model, tmp_path):
    """No checkpoint holds it."""
    base = shutil.copytree(model, tmp_path / "base")
    list(events_of(frozen(coco, base, tmp_path / "run", max_steps=2)))
    weights = base / "vae" / VAE_FILE
    save_file({key: value * 1.01 for key, value in load_file(weights).items()}, weights)
    with pytest.raises(UsageError, match="init_sha256"):
        list(events_of(frozen(coco, base, tmp_path / "run", max_steps=4, resume="auto")))


@pytest.mark.parametrize(
    ("options", "said"), [({"init": None}, "goes with --init"), ({"new_scale": True}, "--freeze-encoder keeps the latents")]
)
def test_what_it_does_not_go_with(coco, model, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        frozen(coco, model, tmp_path, **options)
