"""A U-Net that was trained down to noise alone: drawn from the first timestep on, here as in diffusers."""

import json

import numpy as np
import pytest
from PIL import Image
from pipeline import drawn_by_diffusers
from runs import config_for, events_of

from ldmcli.cli import main


@pytest.fixture(scope="module")
def run(coco, model, tmp_path_factory):
    output = tmp_path_factory.mktemp("zero") / "unet"
    list(events_of(config_for("unet", coco, model, output, max_steps=3, schedule="scaled-linear", zero_terminal_snr=True)))
    return output


def drawn(run, path, scheduler):
    arguments = ["generate", "a red circle", "-m", str(run), "-s", "5", "--scheduler", scheduler, "--steps", "6", "--cfg", "3"]
    assert main([*arguments, "-o", str(path), "-q"]) == 0
    return np.asarray(Image.open(path)).astype(int)


def test_generate_draws_what_diffusers_draws(run, tmp_path):
    written = json.loads((run / "model" / "scheduler" / "scheduler_config.json").read_text())
    assert written["rescale_betas_zero_snr"] is True and written["timestep_spacing"] == "trailing"
    ours = drawn(run, tmp_path / "ours.png", "ddim")
    (theirs,) = drawn_by_diffusers(run / "model", "DDIMScheduler", ["a red circle"], [5], steps=6, cfg=3.0)
    assert np.abs(ours - np.asarray(theirs).astype(int)).max() <= 2


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler", "unipc", "heun"])
def test_samplers_in_sigma_draw_finite_pictures(run, tmp_path, scheduler):
    assert drawn(run, tmp_path / "picture.png", scheduler).std() > 0
