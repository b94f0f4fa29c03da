"""train-unet --train-text-encoder: the text tower trains along with the U-Net."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline import drawn_by_diffusers
from runs import config_for, events_of, newest

from ldmcli.cli import main
from ldmcli.models.layout import ldm_settings
from ldmcli.models.loading import load_text_encoder, load_unet
from ldmcli.records.training import RunPlan


@pytest.fixture(scope="module")
def run(coco, model, tmp_path_factory):
    output = tmp_path_factory.mktemp("text") / "unet"
    changes = {"max_steps": 10, "lr": 5e-3, "lr_schedule": "constant", "train_text_encoder": True}
    list(events_of(config_for("unet", coco, model, output, **changes)))
    return output


def test_both_networks_train_are_averaged_and_are_shipped(run, model):
    weights, averaged = newest(run).tensors("network"), newest(run).tensors("ema")
    assert weights.keys() == averaged.keys()
    inference_networks = {"unet": load_unet(run / "model"), "text_encoder": load_text_encoder(run / "model")}
    for part, network in inference_networks.items():
        for name, value in network.state_dict().items():
            assert torch.equal(value, averaged[f"{part}.{name}"]), name
    before, after = load_text_encoder(model).state_dict(), inference_networks["text_encoder"].state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == before.keys()  # every parameter hears of the loss, the embeddings too
    assert not any(weights[key].equal(averaged[key]) for key in weights if key.endswith("mlp.fc1.weight"))
    assert json.loads((run / "model" / "text_encoder" / "config.json").read_text())["dtype"] == "float32"
    assert not list((run / "cache").glob("text-*"))  # states would be old after one step


def test_the_pipeline_of_diffusers_draws_the_picture_that_generate_draws(run, tmp_path):
    path = tmp_path / "ours.png"
    arguments = ["generate", "a red circle", "-m", str(run), "-s", "5", "--scheduler", "ddim", "--steps", "6", "--cfg", "3"]
    assert main([*arguments, "-o", str(path), "-q"]) == 0
    (theirs,) = drawn_by_diffusers(run / "model", "DDIMScheduler", ["a red circle"], [5], steps=6, cfg=3.0)
    ours = np.asarray(Image.open(path)).astype(int)
    assert ours.std() > 4 and np.abs(ours - theirs).max() <= 2


def test_the_text_tower_has_its_own_learning_rate(coco, model, tmp_path):
    """The first step of AdamW moves a parameter by the learning rate, whatever its gradient (Kingma & Ba 2015, sec. 2.1)."""
    changes = {"max_steps": 1, "lr": 1e-3, "warmup": 0, "weight_decay": 0.0, "lr_schedule": "constant", "ema": 0.0}
    options = {"init": str(model), "train_text_encoder": True, "text_encoder_lr": 2e-5, **changes}
    list(events_of(config_for("unet", coco, model, tmp_path, **options)))
    after, before = newest(tmp_path).tensors("network"), SimpleNamespace(unet=load_unet(model), text_encoder=load_text_encoder(model))
    for part, rate in (("unet", 1e-3), ("text_encoder", 2e-5)):
        steps = [(after[f"{part}.{name}"] - value).abs().max() for name, value in getattr(before, part).state_dict().items()]
        assert max(steps).item() == pytest.approx(rate, rel=0.02)


def test_gradient_checkpointing_ends_at_the_same_weights(coco, model, tmp_path):
    for name, on in (("kept", False), ("again", True)):
        changes = {"max_steps": 2, "gradient_checkpointing": on, "train_text_encoder": True, "lora_rank": 2, "init": str(model)}
        list(events_of(config_for("unet", coco, model, tmp_path / name, **changes)))
    kept, again = (newest(tmp_path / name).tensors("network") for name in ("kept", "again"))
    assert kept and all(torch.equal(kept[key], again[key]) for key in kept)


def test_pads_stay_hidden_and_the_model_says_so(coco, model, tmp_path):
    for mask in (True, False):
        changes = {"max_steps": 1, "train_text_encoder": True, "text_mask": mask, "init": str(model)}
        list(events_of(config_for("unet", coco, model, tmp_path / str(mask), **changes)))
    assert ldm_settings(tmp_path / "True" / "model")["text_mask"] is True
    hidden, seen = (newest(tmp_path / name).tensors("network") for name in ("True", "False"))
    assert any(not torch.equal(hidden[key], seen[key]) for key in hidden)


@pytest.mark.parametrize("changes", [{"train_text_encoder": True}, {"lora_rank": 4}])
def test_a_dry_run_counts_what_trains(coco, model, tmp_path, changes):
    plan = list(events_of(config_for("unet", coco, model, tmp_path / "run", init=str(model), dry_run=True, **changes)))[-1]
    assert isinstance(plan, RunPlan)
    whole = sum(p.numel() for network in (load_unet(model), load_text_encoder(model)) for p in network.parameters())
    assert plan.parameters == whole if "lora_rank" not in changes else 0 < plan.parameters < whole / 10
