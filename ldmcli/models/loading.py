"""Weights into our networks, from a folder in diffusers layout or a checkpoint file. What does not fit is an error that names it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from ldmcli.errors import LdmError, NonFinite
from ldmcli.models.checkpoint import recognise
from ldmcli.models.corrections import network_config
from ldmcli.models.layout import Picking, component_folder, weight_files
from ldmcli.models.weights import read_tensors
from ldmcli.networks.clip_text import CLIPText, without_prefix
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.file_weights import let_go
from ldmcli.networks.skeleton import skeleton
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


def load_vae(model: Path, **picking: Unpack[Picking]) -> VAE:
    """The VAE, fp32, on the CPU, in eval mode."""
    return _load(Files("vae", VAE, VAEConfig, with_current_names), model, picking)


def load_unet(model: Path, **picking: Unpack[Picking]) -> UNet:
    """The U-Net, fp32, on the CPU, in eval mode."""
    return _load(Files("unet", UNet, UNetConfig, dict), model, picking)


def load_text_encoder(model: Path, **picking: Unpack[Picking]) -> CLIPText:
    """The text encoder, fp32, on the CPU, in eval mode."""

    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # A text projection belongs to CLIPTextModelWithProjection; the pipeline does not use it.
        return {key: value for key, value in without_prefix(state).items() if key != "text_projection.weight"}

    return _load(Files("text_encoder", CLIPText, CLIPTextConfig, own_names), model, picking)


def _load(files: Files, model: Path, picking: Picking) -> Any:
    if model.is_file():
        return _from_checkpoint(files, model)
    path = component_folder(model, files.name) / "config.json"
    config = network_config(model, files.name)
    weights = weight_files(model, files.name, **picking)
    state = files.own_names({key: value for shard in weights for key, value in read_tensors(shard).items()})
    network = _on_meta(files, lambda: config, path)
    return _filled(network, state, weights[0], f"{files.name}/config.json")


def _from_checkpoint(files: Files, path: Path) -> Any:
    """Our names looked up in the file, in CompVis' layout."""
    tensors = read_tensors(path)
    checkpoint = recognise(path, {key: tuple(value.shape) for key, value in tensors.items()}, files.name)
    config = checkpoint.config(files.name)
    network = _on_meta(files, lambda: config, path)
    remaining = {key: tensors[key] for key in checkpoint.used(files.name)}
    if files.name == "text_encoder" and checkpoint.open_clip:
        remaining = _split_attention(remaining)
    state = {}
    for key, tensor in network.state_dict().items():
        found = remaining.pop(checkpoint.key(files.name, key, config), None)
        if found is not None:
            # CompVis' VAE has 1x1 convolutions where ours, as diffusers', has linear layers
            state[key] = found[..., 0, 0] if found.shape == (*tensor.shape, 1, 1) else found
    return _filled(network, state | remaining, path, "Stable Diffusion")


def _split_attention(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's q, k and v, which are one tensor, apart."""
    split: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if ".in_proj_" in key:
            split |= {f"{key}.{part}": third for part, third in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            split[key] = tensor
    return split


def _on_meta(files: Files, config: Callable[[], Any], where: Path) -> nn.Module:
    """Build on the meta device, without memory for weights and without initial values."""
    try:
        return skeleton(files.build, config())
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise LdmError(f"{where} describes no {files.name} that can be built: {error}") from error


def _filled(network: nn.Module, state: dict[str, Tensor], path: Path, what: str) -> nn.Module:
    """Put the tensors in place, checked one by one: nothing missing, left over, of another shape or not finite."""
    expected = network.state_dict()
    missing, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or surplus:
        first = f"{missing[0]} is missing" if missing else f"{surplus[0]} is not part of this network"
        raise LdmError(f"{path} does not fit {what}: {first} ({len(missing)} missing, {len(surplus)} surplus keys).")
    extremes = {}
    for key, value in state.items():
        if value.shape != expected[key].shape:
            raise LdmError(f"{path}: {key} has shape {tuple(value.shape)}, the config says {tuple(expected[key].shape)}.")
        # NaN and infinity both show in the extremes, which cost no memory; torch has none for weights in 8 bits
        number = value.float() if value.dtype.itemsize == 1 else value
        if number.numel():
            extremes[key] = torch.stack(number.aminmax()).float()
        state[key] = number.float()
        let_go(value)  # until it is used, if it ever is
    if extremes and not (finite := torch.stack(list(extremes.values())).isfinite().all(1)).all():
        raise NonFinite(f"{path}: {list(extremes)[finite.tolist().index(False)]} holds NaN or infinity.")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
