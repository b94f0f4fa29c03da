"""What a training run leaves behind: a model that works here and in diffusers, and a folder that says how it was made."""

import json
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline import drawn_by_diffusers
from runs import config_for, events_of, log_of

from ldmcli.cli import main
from ldmcli.data.cache import to_unit_range
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_square
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.engine.parts import make_codec
from ldmcli.engine.train import unet_batches, unet_run
from ldmcli.engine.train.context import DataSplit
from ldmcli.engine.train.pictures import split
from ldmcli.engine.train.unet_batches import CachedData, draw_captions
from ldmcli.models.loading import load_vae
from ldmcli.records.training import TrainDone
from ldmcli.training import checkpoints
from ldmcli.training.order import SampleOrder, generator_for

pytestmark = pytest.mark.early

STEPS = 24
"""In which a loss falls beyond doubt."""


@pytest.fixture(scope="module", autouse=True)
def quick_looks():
    """The samples and the rows, but with the plot that is promised."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unet_run, "SAMPLE_STEPS", 2)
        patched.setattr(unet_run, "VALIDATED", 16)
        yield


@pytest.fixture(scope="module")
def vae_run(coco, model, tmp_path_factory):
    """Some steps of the autoencoder."""
    output = tmp_path_factory.mktemp("trained") / "vae"
    events = list(
        events_of(
            config_for(
                "vae",
                coco,
                model,
                output,
                size=32,
                max_steps=STEPS,
                lr=3e-3,
                lr_schedule="constant",
                val_every=STEPS // 2,
                channels=(8, 8, 16, 16),
            )
        )
    )
    return output, events[-1]


@pytest.fixture(scope="module")
def trained_run(coco, model, vae_run, tmp_path_factory):
    """As many of the U-Net on that autoencoder."""
    output = tmp_path_factory.mktemp("trained") / "unet"
    rates = {"lr": 3e-3, "lr_schedule": "constant", "warmup": 0}
    config = config_for("unet", coco, vae_run[0], output, size=32, max_steps=STEPS, **rates, val_every=STEPS // 2, channels=(32, 64))
    events = list(events_of(type(config)(**{**vars(config), "text_encoder": str(model)})))
    return output, events[-1]


def mean_loss(rows):
    return sum(row["loss"] for row in rows) / len(rows)


def test_the_loss_falls(vae_run, trained_run):
    for (output, done), factor in ((vae_run, 0.8), (trained_run, 0.95)):
        rows = log_of(output)
        assert len(rows) == STEPS and isinstance(done, TrainDone)
        assert mean_loss(rows[-10:]) < factor * mean_loss(rows[:3])


def test_the_run_holds_everything_that_is_promised(vae_run, trained_run):
    for output, _ in (vae_run, trained_run):
        names = {path.name for path in output.iterdir()}
        assert {"config.toml", "log.jsonl", "samples", "checkpoints", "model", "loss.png"} <= names
        for picture in (output / "loss.png", output / "samples" / f"step-{STEPS:06d}.png"):
            Image.open(picture).load()
        raw = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        assert all({"step", "loss", "lr", "images_per_s", "seconds"} <= row.keys() for row in raw)
        assert not list(output.rglob("*.tmp"))
    settings = tomllib.loads((trained_run[0] / "config.toml").read_text())
    assert settings["max_steps"] == STEPS and settings["channels"] == [32, 64] and settings["prediction"] == "v"


def test_scaled_sampled_latents_have_unit_variance(vae_run, coco):
    output, done = vae_run
    codec = make_codec(load_vae(output / "model"))
    assert codec.scaling_factor == pytest.approx(done.figures["scaling_factor"])
    images, settings = load_captioned(coco).images, tomllib.loads((output / "config.toml").read_text())
    rows, _ = split(list(range(len(images))), settings["seed"], settings["held_out"])  # those that the scale was measured on
    pixels = torch.stack([read_square(images[row].path, 32) for row in rows])
    with torch.no_grad():
        mean, std = codec.encode(to_unit_range(pixels))
    latents = mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    assert 0.95 < latents.std().item() < 1.05


def test_the_pipeline_of_diffusers_draws_the_picture_that_generate_draws(trained_run, tmp_path):
    output, _ = trained_run
    path = tmp_path / "ours.png"
    arguments = ["generate", "a red circle", "-m", str(output), "-s", "5", "--scheduler", "ddim", "--steps", "6", "--cfg", "3"]
    assert main([*arguments, "-o", str(path), "-q"]) == 0
    ours = np.asarray(Image.open(path)).astype(int)
    (theirs,) = drawn_by_diffusers(output / "model", "DDIMScheduler", ["a red circle"], [5], steps=6, cfg=3.0)
    assert ours.shape == (32, 32, 3) and ours.std() > 4
    assert np.abs(ours - theirs).max() <= 2


def test_the_autoencoder_loads_in_diffusers(vae_run):
    from diffusers import AutoencoderKL

    theirs, ours = AutoencoderKL.from_pretrained(vae_run[0] / "model", subfolder="vae"), load_vae(vae_run[0] / "model")
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours.encode(pictures).mean, theirs.encode(pictures).latent_dist.mean, atol=1e-4, rtol=1e-4)
    assert theirs.config.scaling_factor == ours.config.scaling_factor != 1


def test_an_autoencoder_alone_cannot_generate_and_the_error_names_the_next_command(vae_run, capsys):
    assert main(["generate", "a dog", "-m", str(vae_run[0])]) == 6
    captured = capsys.readouterr()
    assert "train-unet" in captured.err and captured.out == ""


@pytest.mark.parametrize(("save_every", "said"), [("100", "samples "), ("1", "standard deviation")])
def test_a_learning_rate_that_explodes_is_exit_4_and_the_good_checkpoint_stays(coco, model, tmp_path, capsys, save_every, said):
    list(events_of(config_for("vae", coco, model, tmp_path, max_steps=2)))
    arguments = ["train-vae", "--config", str(tmp_path / "again.toml"), "-o", str(tmp_path), "--resume", "auto", "--force", "--keep", "9"]
    (tmp_path / "again.toml").write_text(
        f'data = "{coco}"\nsize = 32\nchannels = [8, 16]\nlayers = 1\nbatch-size = 8\nheld_out = 0.1\nema = 0\nmax_grad_norm = 0'
    )
    assert main([*arguments, "--lr", "1e9", "--warmup", "0", "--max-steps", "30", "--save-every", save_every, "-q"]) == 4
    message = capsys.readouterr().err
    assert message.startswith("error: step ") and said in message
    good = checkpoints.read(tmp_path / "checkpoints" / "step-000002")
    assert all(value.isfinite().all() for value in good.tensors("network").values())
    assert load_vae(tmp_path / "model").config.scaling_factor > 0  # the model of the good step


def test_the_message_about_a_bad_step_names_the_ids_of_the_pictures(coco):
    data, rows = load_captioned(coco), [3, 4, 7, 9]
    named = DataSplit(data, rows, [], SampleOrder(4, 0)).ids(4)(0)
    assert sorted(named.split(", ")) == sorted(data.images[row].id for row in rows)


def cached_captions(counts):
    """Captions of pictures with so many each; the empty caption is the last row."""
    counts = torch.tensor(counts)
    total = int(counts.sum())
    nothing = torch.zeros(1)
    return CachedData(nothing, nothing, torch.zeros(total + 1, 2, 4), None, torch.arange(total), counts.cumsum(0) - counts, counts)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5])
def test_captions_are_dropped_as_often_as_asked_for(dropout):
    cached = cached_captions([1, 5, 2])
    rows = torch.arange(3).repeat(4000)
    drawn = draw_captions(cached, rows, generator_for(0, "unet", 3), dropout)
    empty = drawn == 8
    assert empty.float().mean().item() == pytest.approx(dropout, abs=0.01)
    owner = torch.tensor([0, 1, 1, 1, 1, 1, 2, 2])
    assert torch.equal(owner[drawn[~empty]], rows[~empty])  # every other picture has a caption of its own


def test_training_drops_captions_at_the_configured_rate_and_validation_never(coco, model, tmp_path, monkeypatch):
    asked = []

    def watched(cached, rows, generator, dropout):
        asked.append((len(rows), dropout))
        return draw_captions(cached, rows, generator, dropout)

    monkeypatch.setattr(unet_batches, "draw_captions", watched)
    list(events_of(config_for("unet", coco, model, tmp_path, max_steps=2, cfg_dropout=0.25)))
    assert (8, 0.25) in asked and (unet_run.VALIDATED, 0.0) in asked and len(set(asked)) == 2


def test_the_schedule_of_the_run_is_in_its_scheduler_file(trained_run):
    written = json.loads((trained_run[0] / "model" / "scheduler" / "scheduler_config.json").read_text())
    assert written == {**make_schedule("cosine", "v").to_file(), "timestep_spacing": "trailing"}
