"""What accelerate's configuration asks for where each process is to hold a part of a network."""

import os

import pytest

from ldmcli.cli import main
from ldmcli.errors import UsageError
from ldmcli.runtime.sharding import UNSUPPORTED, USE_FSDP, Sharding, read_sharding, without_accelerates_own

LAUNCHED = {
    USE_FSDP: "true", "FSDP_VERSION": "2", "FSDP_SHARDING_STRATEGY": "FULL_SHARD", "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_OFFLOAD_PARAMS": "false", "FSDP_MIN_NUM_PARAMS": "100000000", "FSDP_FORWARD_PREFETCH": "false", "FSDP_USE_ORIG_PARAMS": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true", "FSDP_SYNC_MODULE_STATES": "true", "FSDP_ACTIVATION_CHECKPOINTING": "false",
    "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD": "false",
}  # fmt: skip
"""What `accelerate launch --use_fsdp --fsdp_version 2` sets (1.15)."""


def said(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def train(command, tmp_path, *options):
    return main([command, "--data", str(tmp_path), "-o", str(tmp_path / "run"), *options])


@pytest.mark.parametrize("variable", UNSUPPORTED)
@pytest.mark.parametrize("command", ["train-vae", "train-unet"])
def test_other_ways_are_refused_by_name(command, variable, monkeypatch, tmp_path, capsys):
    said(monkeypatch, **{variable: "true"})  # as `accelerate launch` says it
    assert train(command, tmp_path) == 2
    assert f"error: accelerate is set up for {UNSUPPORTED[variable]}," in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("train-vae", [], "accelerate is set up for FSDP, and train-vae holds the whole network"),
        ("train-unet", ["--lora-rank", "4", "--init", "bundled"], "--lora-rank does not go with FSDP"),
        ("train-unet", ["--compile"], "--compile does not go with FSDP"),
        ("train-unet", ["--batch-size", "auto"], "--batch-size auto does not go with FSDP"),
        ("train-unet", ["--optimizer", "muon"], "--optimizer muon does not go with FSDP"),
        ("train-unet", ["--mixed-precision", "fp16"], "--mixed-precision fp16 does not go with FSDP"),
    ],
)
def test_what_does_not_go_with_fsdp_is_refused_by_name(command, options, words, monkeypatch, tmp_path, capsys):
    said(monkeypatch, **LAUNCHED)
    assert train(command, tmp_path, *options) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"FSDP_VERSION": "1"}, "FSDP 1"),
        ({"FSDP_VERSION": ""}, "FSDP 1"),  # accelerate's default
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "FSDP_OFFLOAD_PARAMS=true"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "True"}, "FSDP_ACTIVATION_CHECKPOINTING=True"),
        ({"FSDP_IGNORED_MODULES": "conv.*"}, "FSDP_IGNORED_MODULES"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "ACCELERATE_DYNAMO_BACKEND=INDUCTOR"),
        ({"FSDP_RESHARD_AFTER_FORWARD": "SHARD_GRAD_OP"}, "shard_grad_op is a word of FSDP 1"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_by_name(changed, words, monkeypatch):
    said(monkeypatch, **LAUNCHED)
    said(monkeypatch, **changed)
    with pytest.raises(UsageError, match=words):
        read_sharding()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Sharding(True, ("FSDP_CPU_RAM_EFFICIENT_LOADING=true",))),
        (
            {"FSDP_RESHARD_AFTER_FORWARD": "False", "FSDP_AUTO_WRAP_POLICY": "NO_WRAP", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"},
            Sharding(False, ("FSDP_AUTO_WRAP_POLICY=NO_WRAP",)),
        ),
        (
            {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT", "FSDP_OF_TOMORROW": "1"},
            Sharding(True, ("FSDP_CPU_RAM_EFFICIENT_LOADING=true", "FSDP_OF_TOMORROW=1", "FSDP_STATE_DICT_TYPE=SHARDED_STATE_DICT")),
        ),
        ({"FSDP_RESHARD_AFTER_FORWARD": "0", "FSDP_OFFLOAD_PARAMS": "off", "FSDP_CPU_RAM_EFFICIENT_LOADING": "No"}, Sharding(False)),
        ({USE_FSDP: "false"}, None),
    ],
)
def test_other_settings_are_followed_or_named(changed, expected, monkeypatch):
    said(monkeypatch, **LAUNCHED)
    said(monkeypatch, **changed)
    assert read_sharding() == expected


def test_accelerate_sees_none_of_it_meanwhile(monkeypatch):
    said(monkeypatch, **LAUNCHED)
    with pytest.raises(ZeroDivisionError), without_accelerates_own():
        assert USE_FSDP not in os.environ
        raise ZeroDivisionError
    assert os.environ[USE_FSDP] == "true"
