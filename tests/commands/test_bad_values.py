"""Values that cannot be used are exit 2 and told by name, before anything is written."""

import os

import pytest
from PIL import Image

from ldmcli.cli import main

REFUSED = {
    "steps 0": ("--steps", "0"),
    "steps -1": ("--steps", "-1"),
    "steps 1000": ("--steps", "1000"),
    "steps 1001": ("--steps", "1001", "--scheduler", "ddpm"),
    "steps in words": ("--steps", "many"),
    "cfg nan": ("--cfg", "nan"),
    "cfg inf": ("--cfg", "inf"),
    "cfg -1": ("--cfg", "-1"),
    "cfg rescale 2": ("--cfg-rescale", "2"),
    "seed abc": ("--seed", "abc"),
    "seed 2**64": ("--seed", str(2**64)),
    "seed -2": ("--seed", "-2"),
    "width 63": ("--width", "63"),
    "width 0": ("--width", "0"),
    "width -8": ("--width", "-8"),
    "height 0 beside a size": ("--size", "64", "--height", "0"),
    "size in words": ("--size", "large"),
    "size 64x0": ("--size", "64x0"),
    "scheduler": ("--scheduler", "magic"),
    "spacing": ("--spacing", "wide"),
    "num images 0": ("-n", "0"),
    "batch size 0": ("--batch-size", "0"),
    "device": ("--device", "toaster"),
    "device with a number": ("--device", "cpu:1"),
    "absent device": ("--device", "cuda:9"),
    "dtype": ("--dtype", "fp8"),
    "upscale 0": ("--upscale", "0"),
    "resample": ("--resample", "magic"),
    "lone surrogate": ("--negative", os.fsdecode(b"\xff")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_value_that_cannot_be_used_is_refused(ldm, model, tmp_path, what):
    code, out, err = ldm("generate", "a dog", "-m", str(model), "-o", f"{tmp_path}/new/", *REFUSED[what])
    assert code == 2 and out == ""
    first, *rest = err.splitlines() if "absent" not in what else err.splitlines()[-2:]
    assert first.startswith("error: ") and len(rest) <= 1
    assert not list(tmp_path.rglob("*.png"))


def test_an_unknown_scheduler_lists_the_names(ldm):
    _, _, err = ldm("generate", "a", "--scheduler", "eulr")
    assert "Did you mean euler" in err and "dpm++2m-karras" in err


def test_a_picture_that_is_far_too_wide_is_refused_with_an_estimate_of_memory(ldm):
    code, _, err = ldm("generate", "a", "--width", str(10**6))
    assert code == 2 and "11,175.9 GiB" in err


@pytest.mark.parametrize("prompt", [b"caf\xe9", b"\xed\xa0\x80"])
def test_a_prompt_that_is_not_utf8_is_refused(ldm, model, prompt):
    code, _, err = ldm("generate", os.fsdecode(prompt), "-m", str(model))
    assert code == 2 and "not valid UTF-8" in err


def test_1000_steps_are_for_ddpm_alone(ldm, model, tmp_path):
    """The last hundredth of them, since every step is a call of the U-Net."""
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "start.png")
    start = ("--init-image", f"{tmp_path}/start.png", "--strength", "0.01")
    arguments = ("generate", "a", "-m", str(model), "-o", f"{tmp_path}/", "--steps", "1000", "-q", "-s", "1", *start)
    assert ldm(*arguments, "--scheduler", "ddim")[0] == 2
    assert ldm(*arguments, "--scheduler", "ddpm")[0] == 0


def test_cosine_with_karras_draws_from_the_clipped_sigma_and_says_so(ldm, model, tmp_path):
    code, _, err = ldm("generate", "a", "-m", str(model), "-o", f"{tmp_path}/", "-s", "1", "--scheduler", "dpm++2m-karras")
    assert code == 0 and "--no-sigma-clip" in err


def test_a_batch_larger_than_the_number_of_pictures_is_clipped(ldm, model, tmp_path):
    code, out, _ = ldm("generate", "a", "-m", str(model), "-o", f"{tmp_path}/", "-s", "1", "--batch-size", "1000", "-n", "2", "-q")
    assert code == 0 and len(out.splitlines()) == 2


def test_the_same_prompt_twice_gives_two_files_with_different_seeds(ldm, model, tmp_path):
    code, out, _ = ldm("generate", "a", "a", "-m", str(model), "-o", f"{tmp_path}/", "-s", "1", "-q")
    names = [line.rpartition("/")[2] for line in out.splitlines()]
    assert code == 0 and names == ["00000_seed1.png", "00001_seed2.png"]


TRAINING = {
    "size": ("--size", "60"),
    "epochs": ("--epochs", "0"),
    "rate": ("--lr", "nan"),
    "schedule of the rate": ("--lr-schedule", "wavy"),
    "held out": ("--held-out", "0.5"),
    "average": ("--ema", "1"),
    "precision": ("--mixed-precision", "fp8"),
    "channels": ("--channels", "3,5"),
    "seed": ("--seed", "-1"),
    "keep": ("--keep", "0"),
    "device": ("--device", "cuda:9"),
    "half precision that accelerate would ignore": ("--mixed-precision", "fp16", "--device", "cpu"),
}


@pytest.mark.parametrize("command", ["train-vae", "train-unet"])
@pytest.mark.parametrize("what", TRAINING)
def test_a_training_value_that_cannot_be_used_is_refused(ldm, coco, model, tmp_path, command, what):
    own = ["--vae", str(model), "--text-encoder", str(model)] if command == "train-unet" else []
    code, out, err = ldm(command, "--data", str(coco), "-o", str(tmp_path / "run"), *own, *TRAINING[what])
    assert code == 2 and out == "" and "error: " in err and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_and_a_wrong_type_in_the_config_file_are_named(ldm, coco, tmp_path):
    file = tmp_path / "run.toml"
    for text, word in (("stepz = 3", "stepz"), ('lr = "fast"', "lr = 'fast'"), ("ema = true", "ema"), ("lr = ", "Invalid value")):
        file.write_text(text)
        code, _, err = ldm("train-vae", "--data", str(coco), "--config", str(file))
        assert code == 2 and word in err, err


def test_explicit_half_precision_in_training_on_a_cpu_says_that_it_is_slow(coco, tmp_path):
    from accelerate.state import AcceleratorState

    from ldmcli.config.training import TrainVAEConfig
    from ldmcli.engine.train.accelerator import make_accelerator

    AcceleratorState._reset_state(True)
    _, note = make_accelerator(TrainVAEConfig(data=coco, output=tmp_path, mixed_precision="bf16", device="cpu"))
    AcceleratorState._reset_state(True)
    assert ("emulated" in note.text and "slow" in note.text) or "native" in note.text


def test_the_data_are_looked_for_before_anything_else_is_made(ldm, tmp_path):
    assert main(["train-vae", "--data", str(tmp_path / "nowhere"), "-o", str(tmp_path / "run")]) == 6
    assert not (tmp_path / "run").exists()
