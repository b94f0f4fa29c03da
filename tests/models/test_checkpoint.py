"""Checkpoint files of SD 1.x and 2.x against diffusers' converter, and files of anything else."""

import gzip
import json
import sys
from functools import cache

import diffusers
import pytest
import torch
from running import finished
from safetensors.torch import load_file, save_file

from ldmcli.engine.session import open_session
from ldmcli.errors import NotFound
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.prediction import predicts_noise
from ldmcli.models.source import find_model
from ldmcli.models.text import load_conditioner
from ldmcli.networks.attention import TextContext
from ldmcli.runtime.device import select_runtime

LOADERS = {"unet": load_unet, "vae": load_vae, "text_encoder": load_text_encoder}


@cache
def network_of(name, file):
    """To be read only."""
    return LOADERS[name](file)


@pytest.fixture(scope="module")
def theirs(built):
    """What diffusers makes of the file, with the configs given, for it would get them from the hub."""
    return diffusers.StableDiffusionPipeline.from_single_file(
        built / "single.safetensors", config=str(built / "diffusers"), local_files_only=True, torch_dtype=torch.float32
    )


@pytest.mark.parametrize("name", LOADERS)
def test_every_tensor_is_the_one_that_diffusers_takes(built, theirs, name):
    ours = network_of(name, built / "single.safetensors").state_dict()
    wanted = {key.removeprefix("text_model."): value for key, value in getattr(theirs, name).state_dict().items()}
    assert ours.keys() == {key for key in wanted if not key.endswith("position_ids")}
    assert all(torch.equal(value, wanted[key]) for key, value in ours.items())


@pytest.mark.parametrize("name", LOADERS)
def test_configs_built_in_are_those_of_the_folder(built, family, name):
    from_file, from_folder = network_of(name, built / "single.safetensors").config, LOADERS[name](built / "diffusers").config
    # eos_token_id: only pooling asks for it; upcast_attention: what the 768 model of SD 2.x has, no difference in fp32
    ignored = {"eos_token_id", "upcast_attention"}
    kept = [{key: value for key, value in vars(config).items() if key not in ignored} for config in (from_file, from_folder)]
    assert kept[0] == kept[1]
    assert from_file.__class__ is from_folder.__class__


def test_the_file_draws_what_the_folder_draws(built, family):
    runtime = select_runtime("cpu", "auto")
    sessions = [
        open_session(find_model(str(built / "single.safetensors"), tokenizer=str(built / "diffusers" / "tokenizer")), runtime),
        open_session(find_model(str(built / "diffusers")), runtime),
        open_session(find_model(str(built / "fp16")), runtime),
    ]
    single, folder, half = ([s.text.states([s.text.tokens(text)]) for text in ("a cat! and a dog", "")] for s in sessions)
    assert all(torch.equal(a, b) for a, b in zip(single, folder, strict=True))
    assert all((a - b).abs().max() < 0.02 for a, b in zip(half, folder, strict=True))
    schedules = [session.schedule for session in sessions]
    assert len({(s.prediction, s.steps_offset, s.set_alpha_to_one, s.file_spacing) for s in schedules}) == 1
    assert torch.equal(schedules[0].alphas_cumprod, schedules[1].alphas_cumprod)
    assert sessions[0].native_size == {1: 512, 2: 768}[family]


def test_the_prediction_that_a_file_states_is_believed(built, tmp_path, family):
    stated = {1: "v", 2: "epsilon"}[family]
    tensors = load_file(built / "single.safetensors")
    save_file({key: value.clone() for key, value in tensors.items()}, tmp_path / "a.safetensors", {"modelspec.prediction_type": stated})
    source = find_model(str(tmp_path / "a.safetensors"), tokenizer=str(built / "diffusers"))
    assert open_session(source, select_runtime("cpu", "auto")).schedule.prediction == stated


def test_a_network_shows_whether_it_was_trained_on_epsilon(published):
    torch.manual_seed(0)
    bundled = load_unet(find_model("bundled").path)
    assert not predicts_noise(bundled, torch.randn(1, 8, bundled.config.cross_attention_dim))  # trained on v
    unet = load_unet(published)
    states = torch.randn(1, 8, unet.config.cross_attention_dim)
    assert not predicts_noise(unet, states)  # not trained at all
    unet.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-2)
    for _ in range(30):  # at t = 999 of an epsilon model the target is all but the input
        noise = torch.randn(4, unet.config.in_channels, 8, 8)
        loss = (unet(noise, torch.full((4,), 999.0), TextContext(states.expand(4, -1, -1))) - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert predicts_noise(unet.eval(), states)


@pytest.fixture
def no_clip(tmp_path, monkeypatch):
    """A machine without CLIP's tokenizer."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    return tmp_path


def test_without_a_tokenizer_the_ways_to_one_are_named(built, no_clip):
    with pytest.raises(NotFound) as caught:
        find_model(str(built / "single.safetensors"))
    assert caught.value.exit_code == 6
    assert all(way in caught.value.hint for way in ("--tokenizer DIR", "hf download openai/clip-vit-large-patch14", "open_clip_torch"))


def test_the_tokenizer_of_an_installed_package_is_taken(built, no_clip):
    merges = (built / "diffusers" / "tokenizer" / "merges.txt").read_text()
    package = no_clip / "packages" / "open_clip"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(merges.strip().encode()))
    source = find_model(str(built / "single.safetensors"))
    assert source.tokenizer.name == "bpe_simple_vocab_16e6.txt.gz"
    taken, own = load_conditioner(source.path, source.tokenizer), load_conditioner(built / "diffusers")
    for text in ("a cat and a dog", "", "Ünïcode! 🐶", "cat " * 90):
        assert torch.equal(taken.tokens(text).ids, own.tokens(text).ids)


def test_a_vae_can_come_from_a_file_a_folder_or_another_model(built, published, tmp_path):
    vae_file = tmp_path / "vae.safetensors"
    tensors = load_file(built / "single.safetensors")
    save_file({key.removeprefix("first_stage_model."): v.clone() for key, v in tensors.items() if "first_stage" in key}, vae_file)
    alone = tmp_path / "sd-vae"
    (built / "diffusers" / "vae").rename(alone)
    try:
        wanted = network_of("vae", built / "single.safetensors").state_dict()
        for text in (vae_file, alone, built / "single.safetensors", built / "fp16"):
            source = find_model(str(published), vae=str(text))
            found = load_vae(source.vae).state_dict()
            tolerance = 0 if text != built / "fp16" else 2e-3
            assert all((found[key] - wanted[key]).abs().max() <= tolerance for key in wanted)
    finally:
        alone.rename(built / "diffusers" / "vae")


WITHOUT_NETWORK = """
import sys
def watch(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"a socket: {event}")
sys.addaudithook(watch)
from ldmcli.cli import main
for model in sys.argv[2:]:
    options = ["--tokenizer", model + "/diffusers", "-o", sys.argv[1], "--overwrite", "--size", "64", "--steps", "1", "--json"]
    if code := main(["generate", "a cat", "-m", model + "/single.safetensors", *options]):
        sys.exit(code)
from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver
for row in SCHEDULERS:
    row.ours and make_solver(row.name, make_schedule("cosine", "v"), 10)
slow = [name for name in ("diffusers", "transformers", "torch._dynamo") if name in sys.modules]
sys.exit(f"{slow} were loaded" if slow else 0)
"""


def test_files_draw_and_our_own_solvers_are_laid_out_with_no_socket_and_no_diffusers(stable_diffusion, tmp_path):
    done = finished([sys.executable, "-c", WITHOUT_NETWORK, tmp_path / "a.png", stable_diffusion(1), stable_diffusion(2)])
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["model"] for line in done.stdout.splitlines()] == ["single", "single"]
