"""What needs no network imports none: help, lists, versions and every mistake that can be seen without a model."""

import json
import shutil

import pytest
import typer

from ldmcli.cli import app
from ldmcli.diffusion.catalogue import SCHEDULERS

COMMANDS = sorted(typer.main.get_command(app).commands)


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in COMMANDS), *([name, "-h"] for name in COMMANDS)])
def test_help_needs_no_heavy_package(light, argv):
    done = light(*argv)
    assert done.returncode == 0, done.stderr
    assert "Usage: ldm" in done.stdout and "Exit codes: 0 ok" in done.stdout and done.stderr == ""


def test_a_bare_ldm_shows_the_help_and_is_a_usage_error(light):
    done = light()
    assert done.returncode == 2 and done.stdout == "" and "Usage: ldm" in done.stderr


def test_version_names_everything_that_decides_the_numbers(light):
    done = light("--version")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ldm", "torch", "diffusers", "transformers"]
    assert all(line.split()[1][0].isdigit() for line in done.stdout.splitlines())


def test_the_schedulers_are_listed_without_torch(light):
    done = light("generate", "--list-schedulers")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert names[1:] == [row.name for row in SCHEDULERS]


def test_the_schedulers_are_listed_as_one_json_document(light):
    done = light("generate", "--list-schedulers", "--json")
    listed = json.loads(done.stdout)
    assert [row["name"] for row in listed] == [row.name for row in SCHEDULERS]
    assert {row["name"]: row["calls_for_20_steps"] for row in listed}["heun"] == 39
    assert all(set(row) == {"name", "title", "stochastic", "needs", "calls_for_20_steps", "aliases"} for row in listed)


MISTAKES = {
    "unknown option": ["generate", "a", "--stepz", "3"],
    "unknown command": ["generat", "a"],
    "no prompt": ["generate"],
    "steps 0": ["generate", "a", "--steps", "0"],
    "unknown scheduler": ["generate", "a", "--scheduler", "magic"],
    "seed": ["generate", "a", "--seed", "abc"],
    "train without data": ["train-vae"],
    "train with a bad rate": ["train-vae", "--data", "x", "--lr", "-1"],
    "bench without a run": ["bench", "--runs", "0"],
    "bench with an unknown scheduler": ["bench", "--scheduler", "ddim,magic"],
    "bench with an unknown precision": ["bench", "--dtype", "fp32,fp8"],
    "bench with a size that cannot be": ["bench", "--size", "64,60"],
    "bench in words": ["bench", "--batch-size", "1,many"],
    "bench against an unknown peer": ["bench", "--compare", "magic"],
    "bench with one side compiled": ["bench", "--compare", "diffusers", "--compile"],
    "bench into one file twice": ["bench", "--export-json", "a", "--export-csv", "a"],
    "a name for a number": ["train-unet", "--data", "x", "--channels", "32,wide"],
}
ABSENT = {
    "model": ["generate", "a", "-m", "no/such/model"],
    "model to bench": ["bench", "-m", "no/such/model"],
    "vae": ["train-unet", "--data", "x", "--vae", "no/such/vae"],
    "config file": ["train-vae", "--config", "no-such.toml"],
}


@pytest.mark.parametrize("what", [*MISTAKES, *ABSENT])
def test_a_mistake_is_told_in_two_lines_before_torch_is_imported(light, what):
    done = light(*{**MISTAKES, **ABSENT}[what])
    assert done.returncode == (6 if what in ABSENT else 2), done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ") and 1 <= len(lines) <= 2


def test_a_missing_model_is_named_with_what_can_be_passed_instead(light):
    done = light("generate", "a dog", "-m", "no/such/model")
    first, second = done.stderr.splitlines()
    assert first == "error: no model at 'no/such/model'."
    assert second == "Pass `bundled`, a training run, a diffusers folder, a .safetensors file or an id on the hub (OWNER/NAME)."


SPOILT = {
    "a config": ("unet/config.json", b'{"layers_per_block": 10000000}', "unet/config.json: UNet2DConditionModel config: layers_per_block"),
    "a scheduler": ("scheduler/scheduler_config.json", b'{"beta_end": -1}', "scheduler_config.json: beta_end = -1"),
    "a tokenizer": ("tokenizer/tokenizer_config.json", b'{"model_max_length": 0}', "tokenizer_config.json: model_max_length = 0"),
    "weights": ("vae/diffusion_pytorch_model.safetensors", b"\xff" * 100, "diffusion_pytorch_model.safetensors is damaged"),
    "our own settings": ("model_index.json", b'{"_ldm": {"defaults": {"steps": null}}}', "model_index.json: _ldm.defaults.steps = None"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_model_is_told_before_torch_is_imported(light, model, tmp_path, what):
    name, body, words = SPOILT[what]
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / name).write_bytes(body)
    done = light("generate", "a dog", "-m", str(copy))
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr


def test_a_spoilt_lora_is_told_before_torch_is_imported(light, tmp_path):
    settings = json.dumps({"unet.lora_alpha": 1, "unet.alpha_pattern": {"(a|a)*b": 2}})
    header = json.dumps({"__metadata__": {"lora_adapter_metadata": settings}}).encode()
    (tmp_path / "l.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    done = light("generate", "a dog", "--lora", str(tmp_path / "l.safetensors"))
    assert done.returncode == 1 and "no name of a layer; refused" in done.stderr, done.stderr
