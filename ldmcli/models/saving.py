"""Writing models in the layout of diffusers, so that every tool reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ldmcli.models.layout import component_folder, read_json
from ldmcli.models.tokenizer import ClipTokenizer, load_tokenizer
from ldmcli.networks.configs import DIFFUSERS_VERSION, CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.runtime.files import copy_file, replace_file, replacing

WEIGHT_FILES = {
    "vae": "diffusion_pytorch_model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def save_component(
    model: Path, name: str, config: VAEConfig | UNetConfig | CLIPTextConfig, state: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> None:
    """Write `model/name/` (vae, unet or text_encoder): config.json and the weights, in `dtype` if given."""
    folder = model / name
    tensors = {key: value.detach().to("cpu", dtype or value.dtype).contiguous() for key, value in state.items()}
    with replacing(folder / WEIGHT_FILES[name]) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(folder / "config.json", config.to_dict())


def save_pipeline_files(model: Path, scheduler: dict[str, Any], extra: dict[str, Any] | None = None) -> None:
    """Write model_index.json and scheduler/: with the components this makes a StableDiffusionPipeline folder.

    extra: our own entries of model_index.json; their names start with an underscore, which diffusers skips.
    """
    write_json(model / "scheduler" / "scheduler_config.json", scheduler)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": DIFFUSERS_VERSION,
        **(extra or {}),
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", scheduler["_class_name"]],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write_json(model / "model_index.json", index)


def keep_component(model: Path, name: str, source: Path, network: Any) -> None:
    """A frozen component into a model folder: the weights file of `source` where diffusers opens it unasked, else the loaded weights.

    Variants such as fp16 files, shards and parts of a checkpoint file are written anew. The config is ours in any case: it states fp32.
    """
    weights = component_folder(source, name) / WEIGHT_FILES[name]
    if not source.is_dir() or not weights.is_file():
        return save_component(model, name, network.config, network.state_dict())
    target = model / name / WEIGHT_FILES[name]
    if target.exists() and target.samefile(weights):
        return
    copy_file(weights, target)
    write_json(model / name / "config.json", network.config.to_dict())


def keep_tokenizer(model: Path, folder: Path, tokenizer: ClipTokenizer) -> None:
    """The tokenizer's files into a model folder, where they state the token that it pads with: SD 2.x does not pad with CLIP's own."""
    copy_component(folder, model, "tokenizer")
    if load_tokenizer(folder, tokenizer.length).pad == tokenizer.pad:
        return
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = model / "tokenizer" / name
        body = read_json(path) if path.is_file() else {}
        write_json(path, {**body, "pad_token": tokenizer.words(torch.tensor([tokenizer.pad]))[0]})


def copy_component(source: Path, model: Path, name: str) -> None:
    """A component folder (tokenizer, text_encoder, ...) as it is: file by file, so that none is ever missing from one that is there
    already. One that is in its place already stays."""
    target = model / name
    if target.exists() and target.samefile(source):
        return
    found = {path.relative_to(source): path for path in source.rglob("*") if path.is_file()}
    for own, path in found.items():
        copy_file(path, target / own)
    for path in [path for path in target.rglob("*") if path.is_file() and path.relative_to(target) not in found]:
        path.unlink()


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write it whole or not at all."""
    replace_file(path, json.dumps(body, indent=2) + "\n")
