"""Weights into our networks, from a folder in diffusers layout or a checkpoint file. What does not fit is an error that names it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ldmcli.errors import LdmError, NonFinite
from ldmcli.models.checkpoint import recognise
from ldmcli.models.layout import component_folder, read_json, weight_files
from ldmcli.models.weights import read_tensors
from ldmcli.networks.clip_text import CLIPText, without_prefix
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE, with_current_names

# `model` is a folder in diffusers layout or a checkpoint file, as models/source.py finds it.


@dataclass(frozen=True)
class Files:
    """How one kind of network is read. own_names: the names that diffusers or transformers wrote, over the years, to ours."""

    name: str
    build: Callable[[Any], nn.Module]
    config: type[UNetConfig] | type[VAEConfig] | type[CLIPTextConfig]
    own_names: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def load_vae(model: Path, *, allow_pickle: bool = False) -> VAE:
    """The VAE, fp32, on the CPU, in eval mode."""
    return _load(Files("vae", VAE, VAEConfig, with_current_names), model, allow_pickle)


def load_unet(model: Path, *, allow_pickle: bool = False) -> UNet:
    """The U-Net, fp32, on the CPU, in eval mode."""
    return _load(Files("unet", UNet, UNetConfig, dict), model, allow_pickle)


def load_text_encoder(model: Path, *, allow_pickle: bool = False) -> CLIPText:
    """The text encoder, fp32, on the CPU, in eval mode."""

    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # A text projection belongs to CLIPTextModelWithProjection; the pipeline does not use it.
        return {key: value for key, value in without_prefix(state).items() if key != "text_projection.weight"}

    return _load(Files("text_encoder", CLIPText, CLIPTextConfig, own_names), model, allow_pickle)


def _load(files: Files, model: Path, allow_pickle: bool) -> Any:
    if model.is_file():
        return _from_checkpoint(files, model)
    path = component_folder(model, files.name) / "config.json"
    raw = read_json(path)
    if files.name == "vae" and "scaling_factor" not in raw:  # diffusers would take Stable Diffusion 1.x's for any model
        raise LdmError(f"{path} states no scaling_factor.", hint='Write it there; Stable Diffusion 1.x has "scaling_factor": 0.18215.')
    weights = weight_files(model, files.name, allow_pickle=allow_pickle)
    tensors = {key: value for shard in weights for key, value in read_tensors(shard).items()}
    network = _on_meta(files, lambda: files.config.from_dict(raw), path)
    return _filled(network, files.own_names(tensors), weights[0], f"{files.name}/config.json")


def _from_checkpoint(files: Files, path: Path) -> Any:
    """Our names looked up in the file, in CompVis' layout."""
    tensors = read_tensors(path)
    checkpoint = recognise(path, {key: tuple(value.shape) for key, value in tensors.items()}, files.name)
    config = checkpoint.config(files.name)
    network = _on_meta(files, lambda: config, path)
    wanted = network.state_dict()
    prefix = checkpoint.prefix(files.name)
    there = {key: tensor for key, tensor in tensors.items() if key.startswith(prefix) and not re.search(_NOT_USED, key)}
    if files.name == "text_encoder" and checkpoint.second:
        there = _split_attention(there, prefix, config.num_hidden_layers)  # type: ignore[union-attr]
    state = {}
    for key, tensor in wanted.items():
        found = there.pop(checkpoint.key(files.name, key, config), None)
        if found is not None:  # 1x1 convolutions and linear layers are the same thing, and files have either
            state[key] = found.reshape(tensor.shape) if found.numel() == tensor.numel() and tensor.dim() in (2, 4) else found
    return _filled(network, state | there, path, f"Stable Diffusion {2 if checkpoint.second else 1}.x")


_NOT_USED = r"position_ids$|logit_scale$|text_projection$|^loss\.|^model_ema\."


def _split_attention(tensors: Mapping[str, Tensor], prefix: str, layers: int) -> dict[str, Tensor]:
    """OpenCLIP's q, k and v, which are one tensor, apart; without the layers that Stable Diffusion does not run."""
    split: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        layer = re.match(rf"{re.escape(prefix)}transformer\.resblocks\.(\d+)\.", key)
        if layer and int(layer[1]) >= layers:
            continue
        if ".in_proj_" in key:
            split |= {f"{key}.{part}": third for part, third in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            split[key] = tensor
    return split


def _on_meta(files: Files, config: Callable[[], Any], where: Path) -> nn.Module:
    """Build on the meta device: no time is lost on initial values."""
    try:
        with torch.device("meta"):
            return files.build(config())
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise LdmError(f"{where} describes no {files.name} that can be built: {error}") from error


def _filled(network: nn.Module, state: dict[str, Tensor], path: Path, what: str) -> nn.Module:
    """Put the tensors in place, checked one by one: nothing missing, left over, of another shape or not finite."""
    wanted = network.state_dict()
    missing, surplus = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or surplus:
        first = f"{missing[0]} is missing" if missing else f"{surplus[0]} is not part of this network"
        raise LdmError(f"{path} does not fit {what}: {first} ({len(missing)} missing, {len(surplus)} surplus keys).")
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise LdmError(f"{path}: {key} has shape {tuple(value.shape)}, the config says {tuple(wanted[key].shape)}.")
        # NaN and infinity both show in the extremes, which cost no memory
        if value.numel() and not torch.stack(value.aminmax()).isfinite().all():
            raise NonFinite(f"{path}: {key} holds NaN or infinity.")
        state[key] = value.float()
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
