"""Reading model folders: those that diffusers saved, and those that are damaged, each with its exit code."""

import json
import struct
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from published import LENGTH, write_tokenizer
from safetensors.torch import load_file, save_file

from ldmcli.errors import LdmError, NonFinite, NotFound
from ldmcli.models.layout import read_json
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.saving import WEIGHT_FILES
from ldmcli.models.text import load_conditioner
from ldmcli.networks.attention import TextContext

LOADERS = {"vae": load_vae, "unet": load_unet, "text_encoder": load_text_encoder}


def weights(model: Path, name: str) -> Path:
    return model / name / WEIGHT_FILES[name]


def rewrite(model: Path, name: str, change) -> None:
    """Load the tensors of a component, change the dict, save it."""
    tensors = {key: value.clone() for key, value in load_file(weights(model, name)).items()}
    change(tensors)
    save_file(tensors, weights(model, name))


def set_config(model: Path, name: str, **values) -> None:
    path = model / name / "config.json"
    body = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in body.items() if value is not ...}))


def refused(load, kind=LdmError) -> LdmError:
    with pytest.raises(LdmError) as caught:
        load()
    assert type(caught.value) is kind
    return caught.value


def test_a_folder_that_diffusers_saved_answers_the_same_in_ours(published):
    x, text, t = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8), torch.tensor([7, 700])
    with torch.no_grad():
        theirs = diffusers.UNet2DConditionModel.from_pretrained(published / "unet")(x, t, text).sample
        assert (load_unet(published)(x, t, TextContext(text)) - theirs).abs().max() <= 1e-5
        theirs = diffusers.AutoencoderKL.from_pretrained(published / "vae").decode(x).sample
        vae = load_vae(published)
        assert (vae.decode(x) - theirs).abs().max() <= 1e-5
        assert vae.config.scaling_factor == 0.7
        prompts = ["a cat and a dog", "", "cat " * 40]
        conditioner = load_conditioner(published)
        tokenizer = transformers.CLIPTokenizer.from_pretrained(published / "tokenizer")
        ids = tokenizer(prompts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
        theirs = transformers.CLIPTextModel.from_pretrained(published / "text_encoder")(ids).last_hidden_state
        assert (conditioner.states([conditioner.tokens(p) for p in prompts]) - theirs).abs().max() <= 1e-5


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_loaded_is_frozen_fp32_and_in_eval_mode(own_copy, name):
    rewrite(own_copy, name, lambda tensors: tensors.update({key: value.half() for key, value in tensors.items()}))
    network = LOADERS[name](own_copy)
    assert not network.training
    assert {(p.dtype, p.device.type, p.requires_grad) for p in network.parameters()} == {(torch.float32, "cpu", False)}


def test_old_layouts_of_text_encoder_and_projection_are_read(own_copy):
    wanted = load_text_encoder(own_copy).state_dict()

    def age(tensors):
        old = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in tensors.items()}
        tensors.clear()
        tensors.update(
            old, **{"text_model.embeddings.position_ids": torch.arange(LENGTH)[None], "text_projection.weight": torch.ones(2, 8)}
        )

    rewrite(own_copy, "text_encoder", age)
    got = load_text_encoder(own_copy).state_dict()
    assert got.keys() == wanted.keys() and all(torch.equal(got[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_key_is_named(own_copy, name):
    key = sorted(LOADERS[name](own_copy).state_dict())[0]
    prefix = "text_model." if f"text_model.{key}" in load_file(weights(own_copy, name)) else ""
    rewrite(own_copy, name, lambda tensors: tensors.pop(prefix + key))
    assert f"{key} is missing (1 missing, 0 surplus keys)" in refused(lambda: LOADERS[name](own_copy)).message


def test_the_weights_of_another_network_are_refused(own_copy):
    weights(own_copy, "unet").write_bytes(weights(own_copy, "vae").read_bytes())
    assert "does not fit unet/config.json" in refused(lambda: load_unet(own_copy)).message


def test_a_wrong_shape_is_shown_beside_the_right_one(own_copy):
    rewrite(own_copy, "unet", lambda tensors: tensors.update({"conv_in.weight": torch.zeros(8, 9, 3, 3)}))
    message = refused(lambda: load_unet(own_copy)).message
    assert "conv_in.weight has shape (8, 9, 3, 3), the config says (8, 4, 3, 3)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_exit_code_4(own_copy, value):
    rewrite(own_copy, "vae", lambda tensors: tensors["decoder.conv_out.bias"].fill_(value))
    error = refused(lambda: load_vae(own_copy), NonFinite)
    assert "decoder.conv_out.bias" in error.message and error.exit_code == 4


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.02])
def test_a_truncated_file_says_how_much_is_there(own_copy, kept):
    path = weights(own_copy, "unet")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    message = refused(lambda: load_unet(own_copy)).message
    assert "is truncated: got" in message and f"got {int(kept * len(whole))} of" in message
    assert kept < 0.1 or f"of {len(whole)} bytes" in message


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00" * 4, bytes(range(256)) * 40, b"<html>not found</html>", struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"[]"],
)
def test_other_bytes_are_not_weights(own_copy, body):
    weights(own_copy, "vae").write_bytes(body)
    error = refused(lambda: load_vae(own_copy))
    assert "is damaged or not a safetensors file" in error.message and str(weights(own_copy, "vae")) in error.message


def test_a_git_lfs_pointer_asks_for_git_lfs(own_copy):
    weights(own_copy, "unet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3438167540\n")
    error = refused(lambda: load_unet(own_copy), NotFound)
    assert "git-lfs pointer" in error.message and "git lfs pull" in error.hint and error.exit_code == 6


@pytest.mark.parametrize(("name", "pickle"), [("unet", "diffusion_pytorch_model.bin"), ("text_encoder", "pytorch_model.bin")])
def test_pickled_weights_are_refused_and_not_opened(own_copy, name, pickle):
    weights(own_copy, name).rename(own_copy / name / pickle)
    (own_copy / name / pickle).chmod(0)
    error = refused(lambda: LOADERS[name](own_copy))
    assert pickle in error.message and "safetensors" in error.hint and error.exit_code == 1


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("part", ["config.json", "weights"])
def test_a_missing_file_is_exit_code_6(own_copy, name, part):
    path = weights(own_copy, name) if part == "weights" else own_copy / name / part
    path.unlink()
    error = refused(lambda: LOADERS[name](own_copy), NotFound)
    assert str(path) in error.message and error.exit_code == 6


@pytest.mark.parametrize("value", [0, -0.18215, float("nan"), None, "0.18215"])
def test_a_vae_without_a_usable_scaling_factor_is_refused(own_copy, value):
    set_config(own_copy, "vae", scaling_factor=value)
    assert "scaling_factor" in refused(lambda: load_vae(own_copy)).message


@pytest.mark.parametrize("values", [{"norm_num_groups": 3}, {"norm_num_groups": None}, {"layers_per_block": -1}, {"block_out_channels": 8}])
def test_a_config_that_describes_no_network_is_refused(own_copy, values):
    set_config(own_copy, "unet", **values)
    assert str(own_copy / "unet") in refused(lambda: load_unet(own_copy)).message


@pytest.mark.parametrize("body", ["", "{", "[1]", "\ufeff{}", "null"])
def test_json_that_is_no_object_is_refused(tmp_path, body):
    (tmp_path / "config.json").write_text(body, encoding="utf-8")
    assert str(tmp_path / "config.json") in refused(lambda: read_json(tmp_path / "config.json")).message


def test_a_tokenizer_of_another_model_is_refused(own_copy):
    for path in (own_copy / "tokenizer").iterdir():
        path.unlink()
    folder = write_tokenizer(own_copy / "tokenizer")
    vocab = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(vocab | {"<|extra|>": len(vocab)}))
    message = refused(lambda: load_conditioner(own_copy)).message
    assert f"the tokenizer has {len(vocab) + 1} entries, the text encoder {len(vocab)}" in message
