"""Exact resuming where other things train than the U-Net alone."""

import pytest
from runs import assert_same_bits, config_for, events_of, newest, stop_after

from ldmcli.errors import UsageError

VARIANTS = {
    "adapters": {"lora_rank": 2},
    "text tower": {"train_text_encoder": True, "text_encoder_lr": 1e-4},
    "adapters in both": {"lora_rank": 2, "train_text_encoder": True},
    "text tower, pads hidden, nothing cached": {"train_text_encoder": True, "text_mask": True, "no_cache": True},
    "muon, text tower": {"optimizer": "muon", "train_text_encoder": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_interrupted_run_ends_with_the_bits_of_one_that_ran_through(variant, coco, model, tmp_path):
    changes = {"init": str(model), "max_steps": 5, **VARIANTS[variant]}  # an epoch ends within the third
    list(events_of(config_for("unet", coco, model, tmp_path / "straight", **changes)))
    stop_after(config_for("unet", coco, model, tmp_path / "run", **changes), 2)
    list(events_of(config_for("unet", coco, model, tmp_path / "run", resume="auto", **changes)))
    assert_same_bits(tmp_path / "straight", tmp_path / "run", step=5)


@pytest.mark.parametrize("began", ["adamw", "muon"])
def test_a_run_goes_on_with_the_optimizer_that_it_began_with(began, coco, model, tmp_path):
    stop_after(config_for("vae", coco, model, tmp_path, optimizer=began), 1)
    other = {"adamw": "muon", "muon": "adamw"}[began]
    with pytest.raises(UsageError, match="optimizer"):
        list(events_of(config_for("vae", coco, model, tmp_path, optimizer=other, resume="auto")))
    with pytest.raises(UsageError, match="is of another --optimizer"):
        list(events_of(config_for("vae", coco, model, tmp_path, optimizer=other, resume="auto", force=True)))
    assert newest(tmp_path).step == 1
