"""Checkpoint files of anything that is not a whole Stable Diffusion 1.x or 2.x: what is said of them."""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file

from ldmcli.errors import LdmError, NonFinite
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.source import find_model

LOADERS = {"unet": load_unet, "vae": load_vae, "text_encoder": load_text_encoder}


tensors_of = cache(load_file)


def changed_file(built, tmp_path, change):
    """The checkpoint file with its dict of tensors changed; the tensors themselves are not to be."""
    tensors = dict(tensors_of(built / "single.safetensors"))
    change(tensors)
    save_file(tensors, tmp_path / "changed.safetensors")
    return tmp_path / "changed.safetensors"


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("conditioner.embedders.0.transformer.weight", "Stable Diffusion XL"),
        ("model.diffusion_model.joint_blocks.0.x_block.weight", "Stable Diffusion 3"),
        ("double_blocks.0.img_attn.proj.weight", "Flux"),
        ("lora_unet_down_blocks_0.lora_down.weight", "a LoRA"),
        ("control_model.input_hint_block.0.weight", "a ControlNet"),
        ("down_blocks.0.resnets.0.norm1.weight", "one part of a diffusers folder"),
        ("bert.embeddings.weight", "no unet, no text_encoder, no vae"),
    ],
)
def test_files_of_other_models_are_named_before_torch_is_needed(tmp_path, key, what):
    save_file({key: torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(LdmError) as caught:
        find_model(str(tmp_path / "other.safetensors"))
    assert what in caught.value.message and caught.value.exit_code == 1


@pytest.mark.parametrize(("prefix", "name"), [("first_stage_model.", "vae"), ("cond_stage_model.", "text_encoder"), ("model.", "unet")])
def test_a_file_without_a_component_names_it(built, tmp_path, prefix, name):
    path = changed_file(built, tmp_path, lambda tensors: [tensors.pop(key) for key in list(tensors) if key.startswith(prefix)])
    with pytest.raises(LdmError, match=f"it has no {name}"):
        find_model(str(path), tokenizer=str(built / "diffusers"))


def test_inpainting_checkpoints_are_refused_by_their_input_channels(built, tmp_path):
    key = "model.diffusion_model.input_blocks.0.0.weight"
    path = changed_file(built, tmp_path, lambda tensors: tensors.update({key: torch.zeros(len(tensors[key]), 9, 3, 3)}))
    with pytest.raises(LdmError, match="in_channels = 9"):
        find_model(str(path), tokenizer=str(built / "diffusers"))


@pytest.mark.parametrize("name", LOADERS)
def test_missing_and_surplus_tensors_are_named(built, tmp_path, family, name):
    prefix, key, ours = {
        "unet": ("model.diffusion_model.", "middle_block.0.in_layers.2.bias", "mid_block.resnets.0.conv1.bias"),
        "vae": ("first_stage_model.", "decoder.mid.attn_1.q.bias", "decoder.mid_block.attentions.0.to_q.bias"),
        "text_encoder": {
            1: ("cond_stage_model.transformer.", "text_model.final_layer_norm.bias", "final_layer_norm.bias"),
            2: ("cond_stage_model.model.", "ln_final.bias", "final_layer_norm.bias"),
        }[family],
    }[name]
    with pytest.raises(LdmError, match=rf"{ours} is missing \(1 missing, 0 surplus"):
        LOADERS[name](changed_file(built, tmp_path, lambda tensors: tensors.pop(prefix + key)))
    with pytest.raises(LdmError, match=r"extra.weight is not part of this network \(0 missing, 1 surplus"):
        LOADERS[name](changed_file(built, tmp_path, lambda tensors: tensors.update({f"{prefix}extra.weight": torch.zeros(1)})))


def test_a_tensor_that_is_no_number_is_exit_code_4(built, tmp_path):
    def spoil(tensors):
        tensors["model.diffusion_model.out.2.bias"] = torch.tensor([0, torch.nan, 0, 0])

    with pytest.raises(NonFinite, match="conv_out.bias"):
        load_unet(changed_file(built, tmp_path, spoil))
