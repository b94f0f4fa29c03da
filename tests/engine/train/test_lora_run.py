"""train-unet --lora-rank: adapters alone train; the run is a whole model, and its small file works on the base, here and in diffusers."""

import json
import shutil
import tomllib

import diffusers
import numpy as np
import pytest
from peft import get_peft_model_state_dict
from PIL import Image
from pipeline import drawn_by, drawn_by_diffusers, loaded_pipeline
from runs import config_for, events_of, log_of, newest
from safetensors.torch import load_file, save_file

from ldmcli.errors import UsageError
from ldmcli.models.loading import load_text_encoder, load_unet
from ldmcli.models.lora_source import LORA_FILE

pytestmark = pytest.mark.early

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
DRAWING = ("a red circle", "-s", "5", "--scheduler", "ddim", "--steps", "3", "--cfg", "3", "--size", "32")


def lora_config(coco, model, output, **changes):
    return config_for("unet", coco, model, output, **{"size": 32, "init": str(model), "lora_rank": 4, "lora_alpha": 8.0, **changes})


@pytest.fixture(scope="module", params=[False, True], ids=["unet", "unet and text"])
def run(request, coco, model, tmp_path_factory):
    """Steps at a rate that changes the pictures beyond doubt."""
    output = tmp_path_factory.mktemp("lora") / "colours"
    changes = {"max_steps": 20, "lr": 3e-2, "lr_schedule": "constant", "warmup": 0, "val_every": 100}
    changes |= {"train_text_encoder": request.param}
    list(events_of(lora_config(coco, model, output, **changes)))
    return output


both = pytest.mark.parametrize("run", [True], indirect=True, ids=["unet and text"])
"""What is the same of an adapter, wherever it stands."""


@pytest.fixture
def draw(tmp_path, ldm):
    """Draw by the command line; returns (path, pixels)."""

    def drawn(*argv, name="ours.png"):
        path = tmp_path / name
        code, _, err = ldm("generate", *DRAWING, *argv, "-o", path, "-q")
        assert code == 0, err
        return path, np.asarray(Image.open(path)).astype(int)

    return drawn


def test_only_the_adapters_train_and_only_they_are_kept(run, model):
    with_text = "train_text_encoder = true" in (run / "config.toml").read_text()
    networks = [load_unet(model), load_text_encoder(model)][: 1 + with_text]
    layers = [layer for network in networks for name, layer in network.named_modules() if name.endswith(TARGETS)]
    saved = newest(run).tensors("network")
    assert sum(value.numel() for value in saved.values()) == sum(4 * (layer.in_features + layer.out_features) for layer in layers)
    assert all(".lora_A." in key or ".lora_B." in key for key in saved)
    assert all(value.abs().max() > 1e-3 for key, value in saved.items() if ".lora_B." in key)  # they began with zeros
    assert saved.keys() == newest(run).tensors("ema").keys()
    losses = [row["loss"] for row in log_of(run)]
    assert sum(losses[-10:]) / 10 < 0.95 * sum(losses[:3]) / 3


def test_the_run_is_a_model_with_the_adapters_merged(run, draw):
    _, ours = draw("-m", run)
    (theirs,) = drawn_by_diffusers(run / "model", "DDIMScheduler", ["a red circle"], [5], steps=3, cfg=3.0)
    assert np.abs(ours - theirs).max() <= 2 and ours.std() > 4


def test_the_small_file_draws_the_same_on_the_base_as_diffusers_load_lora_weights(run, model, draw):
    """Alone, at several scales, and twice: then they add up."""
    _, base = draw("-m", model, name="base.png")
    pipeline = loaded_pipeline(model, [run / "lora" / LORA_FILE] * 2)
    for scales in ([1.0], [0.8], [-0.5], [0.5, 0.3]):
        _, ours = draw("-m", model, *(word for scale in scales for word in ("--lora", f"{run}:{scale}")), name=f"{scales}.png")
        (theirs,) = drawn_by(pipeline, ["a red circle"], [5], steps=3, cfg=3.0, size=32, scales=scales)
        assert np.abs(ours - theirs).max() <= 2, scales
        assert np.abs(ours - base).max() > 20, scales


def test_the_run_and_its_base_with_the_small_file_are_the_same(run, model, draw):
    _, merged = draw("-m", run)
    _, added = draw("-m", model, "--lora", run / "lora" / LORA_FILE, name="added.png")
    assert np.array_equal(merged, added)


@both
def test_one_network_at_a_time_draws_the_same_bytes(run, model, draw):
    held, _ = draw("-m", model, "--lora", run)
    one_by_one, _ = draw("-m", model, "--lora", run, "--low-memory", name="low.png")
    assert held.read_bytes() == one_by_one.read_bytes()


def test_the_file_is_the_one_that_save_lora_weights_writes(run, model, tmp_path):
    """Keys as diffusers names them, apart from the prefix that transformers dropped; what peft needs to know in the header."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, local_files_only=True)
    pipeline.load_lora_weights(run / "lora")
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    parts = {name: part for name, part in parts.items() if getattr(part, "peft_config", None)}
    assert all((part.peft_config["default_0"].r, part.peft_config["default_0"].lora_alpha) == (4, 8) for part in parts.values())
    layers = {name: get_peft_model_state_dict(part, adapter_name="default_0") for name, part in parts.items()}
    diffusers.StableDiffusionPipeline.save_lora_weights(tmp_path, **{f"{name}_lora_layers": state for name, state in layers.items()})
    ours, theirs = load_file(run / "lora" / LORA_FILE), load_file(tmp_path / LORA_FILE)
    assert {key.replace("text_model.", "") for key in ours} == theirs.keys()
    assert all(np.array_equal(value, theirs[key.replace("text_model.", "")]) for key, value in ours.items())


@both
def test_a_picture_records_its_loras_and_is_verified_with_them(run, model, draw, ldm):
    path, _ = draw("-m", model, "--lora", f"{run}:0.8", "--batch-size", 1)
    facts = json.loads(Image.open(path).text["ldm"])
    assert [(one["name"], one["scale"]) for one in facts["loras"]] == [("colours", 0.8)]
    assert str(run) not in json.dumps(facts) and "Lora hashes: " in Image.open(path).text["parameters"]
    again = ("generate", "--from-image", path, "--verify", "-m", model, "--json")
    code, out, err = ldm(*again, "--lora", f"{run}:0.8")
    assert code == 0 and json.loads(out)["equal"], err
    for wrong in ([], ["--lora", run], ["--lora", f"{run}:0.8", "--lora", f"{run}:0.8"]):
        code, _, err = ldm(*again, *wrong)
        assert code == 1 and "was drawn with colours:0.8" in err
    bare, _ = draw("-m", model, "--batch-size", 1, name="bare.png")
    code, _, err = ldm("generate", "--from-image", bare, "--verify", "-m", model, "--lora", run)
    assert code == 1 and "without a LoRA" in err
    code, _, err = ldm("generate", "--from-image", path, "-m", model, "-o", path.with_name("x.png"))
    assert code == 0 and "Expect another picture" in err and path.with_name("x.png").is_file()


def test_the_base_must_be_the_same_when_a_run_is_resumed(coco, model, tmp_path):
    """No checkpoint holds the weights under the adapters."""
    base = shutil.copytree(model, tmp_path / "base")
    list(events_of(lora_config(coco, base, tmp_path / "run", max_steps=2)))
    weights = base / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value * 1.01 for key, value in load_file(weights).items()}, weights)
    with pytest.raises(UsageError, match="init_sha256"):
        list(events_of(lora_config(coco, base, tmp_path / "run", max_steps=4, resume="auto")))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lora-rank", "0", "--init", "bundled"), "--lora-rank must be at least 1"),
        (("--lora-rank", "4"), "--init"),
        (("--lora-alpha", "4", "--init", "bundled"), "--lora-rank"),
        (("--lora-rank", "4", "--lora-alpha", "nan", "--init", "bundled"), "--lora-alpha must be a number above 0"),
        (("--text-encoder-lr", "1e-5"), "--train-text-encoder"),
    ],
)
def test_options_that_cannot_be_are_exit_2(ldm, coco, options, said):
    code, out, err = ldm("train-unet", "--data", coco, *options)
    assert code == 2 and said in err and out == ""


def test_the_settings_say_what_was_trained(run):
    settings = tomllib.loads((run / "config.toml").read_text())
    assert (settings["lora_rank"], settings["lora_alpha"], settings["prediction"], settings["schedule"]) == (4, 8.0, "v", "cosine")
