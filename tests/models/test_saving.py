"""What we write is an ordinary diffusers folder."""

import json
import os

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from ldmcli.diffusion.schedule import make_schedule
from ldmcli.models.hashes import weights_hash
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.saving import WEIGHT_FILES, copy_component, save_component, save_pipeline_files, write_json

LOADERS = {"vae": load_vae, "unet": load_unet, "text_encoder": load_text_encoder}


@pytest.fixture(params=[None, torch.float16], ids=["fp32", "fp16"])
def written(request, published, tmp_path):
    """The published model, read by us and written by us."""
    model = tmp_path / "ours"
    for name, load in LOADERS.items():
        network = load(published)
        save_component(model, name, network.config, network.state_dict(), request.param)
    copy_component(published / "tokenizer", model, "tokenizer")
    save_pipeline_files(model, make_schedule("cosine", "v").to_file(), {"_ldm": {"text_mask": False, "defaults": {"steps": 30}}})
    return model


def test_the_pipeline_of_diffusers_loads_and_draws_what_we_wrote(written, capsys):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(written, local_files_only=True)
    assert {p.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder) for p in part.parameters()} == {torch.float32}
    config = pipeline.scheduler.config
    assert (config.beta_schedule, config.prediction_type, config.clip_sample) == ("squaredcos_cap_v2", "v_prediction", False)
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline("a cat", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0)).images
    assert pictures.shape == (1, 16, 16, 3) and pictures.std() > 0
    assert "_ldm" not in capsys.readouterr().err
    assert json.loads((written / "model_index.json").read_text())["_ldm"]["defaults"] == {"steps": 30}


def test_weights_come_back_as_they_were(published, tmp_path):
    for name, load in LOADERS.items():
        network = load(published)
        save_component(tmp_path, name, network.config, network.state_dict())
        again = load(tmp_path)
        assert again.config == network.config
        found = again.state_dict()
        assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())


def test_fp16_is_half_the_file_and_any_memory_layout_can_be_saved(published, tmp_path):
    network = load_unet(published)
    network.to(memory_format=torch.channels_last)
    for folder, dtype in ((tmp_path / "full", None), (tmp_path / "half", torch.float16)):
        save_component(folder, "unet", network.config, network.state_dict(), dtype)
    assert {t.dtype for t in load_file(tmp_path / "half" / "unet" / WEIGHT_FILES["unet"]).values()} == {torch.float16}
    wanted = network.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in load_unet(tmp_path / "full").state_dict().items())


def test_nothing_but_the_files_is_left_behind(written):
    names = sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file() and path.parent.name != "tokenizer")
    assert names == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_a_failed_write_keeps_the_old_weights(published, tmp_path, monkeypatch):
    network = load_vae(published)
    save_component(tmp_path, "vae", network.config, network.state_dict())
    before = weights_hash(tmp_path, "vae")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_component(tmp_path, "vae", network.config, {key: value + 1 for key, value in network.state_dict().items()})
    assert weights_hash(tmp_path, "vae") == before


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "a" / "x.json", {"prompt": "café 😀"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a" / "x.json", {"prompt": object()})
    assert json.loads((tmp_path / "a" / "x.json").read_text(encoding="utf-8")) == {"prompt": "café 😀"}


def test_a_copied_component_replaces_the_old_one(published, tmp_path):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "stale.txt").touch()
    copy_component(published / "tokenizer", tmp_path, "tokenizer")
    names = sorted(path.name for path in (published / "tokenizer").iterdir())
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == names
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_a_component_can_be_copied_onto_itself(own_copy):
    """`train-unet --vae RUN -o RUN`: the VAE is where it belongs already."""
    path = own_copy / "vae" / WEIGHT_FILES["vae"]
    before, place = weights_hash(own_copy, "vae"), path.stat().st_ino
    copy_component(own_copy / "vae", own_copy, "vae")
    assert weights_hash(own_copy, "vae") == before and path.stat().st_ino == place


def test_the_hash_is_sha256_of_the_file(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / WEIGHT_FILES["unet"]).write_bytes(b"abc")
    assert weights_hash(tmp_path, "unet") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
