"""Reading a component of a diffusers folder into our networks. What does not fit is an error that names it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ldmcli.errors import LdmError, NonFinite, NotFound
from ldmcli.models.saving import WEIGHT_FILES
from ldmcli.networks.clip_text import CLIPText, without_prefix
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE, with_current_names


def load_vae(model: Path) -> VAE:
    """The `vae/` of a model folder, fp32, on the CPU, in eval mode."""

    def build() -> VAE:
        path = model / "vae" / "config.json"
        raw = read_json(path)
        if "scaling_factor" not in raw:  # diffusers would take Stable Diffusion 1.x's for any model
            raise LdmError(f"{path} states no scaling_factor.", hint='Write it there; Stable Diffusion 1.x has "scaling_factor": 0.18215.')
        return VAE(VAEConfig.from_dict(raw))

    return _filled(build, model, "vae", with_current_names)


def load_unet(model: Path) -> UNet:
    """The `unet/` of a model folder, fp32, on the CPU, in eval mode."""
    return _filled(lambda: UNet(UNetConfig.from_dict(read_json(model / "unet" / "config.json"))), model, "unet", dict)


def load_text_encoder(model: Path) -> CLIPText:
    """The `text_encoder/` of a model folder, fp32, on the CPU, in eval mode."""

    def build() -> CLIPText:
        return CLIPText(CLIPTextConfig.from_dict(read_json(model / "text_encoder" / "config.json")))

    def ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # A text projection belongs to CLIPTextModelWithProjection; the pipeline does not use it.
        return {key: value for key, value in without_prefix(state).items() if key != "text_projection.weight"}

    return _filled(build, model, "text_encoder", ours)


def read_json(path: Path) -> dict[str, Any]:
    """Raises NotFound or LdmError that names the file."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{path} is missing.", hint="A model is a folder in diffusers layout, with model_index.json.") from error
    except (OSError, ValueError) as error:
        raise LdmError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(body, dict):
        raise LdmError(f"{path} does not hold a JSON object.")
    return body


def _filled(build: Callable[[], nn.Module], model: Path, name: str, rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]) -> Any:
    """Build on the meta device (no time is lost on initial values) and put the file's tensors in place, checked one by one."""
    path = model / name / WEIGHT_FILES[name]
    state = rename(_read_weights(path))
    try:
        with torch.device("meta"):
            network = build()
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise LdmError(f"{path.with_name('config.json')} describes no {name} that can be built: {error}") from error
    wanted = network.state_dict()
    missing, surplus = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or surplus:
        what = f"{missing[0]} is missing" if missing else f"{surplus[0]} is not part of this network"
        raise LdmError(f"{path} does not fit {name}/config.json: {what} ({len(missing)} missing, {len(surplus)} surplus keys).")
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise LdmError(f"{path}: {key} has shape {tuple(value.shape)}, the config says {tuple(wanted[key].shape)}.")
        if not value.isfinite().all():
            raise NonFinite(f"{path}: {key} holds NaN or infinity.")
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return network.eval().requires_grad_(False)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        pickles = [p.name for p in path.parent.glob("*.bin")]
        if pickles:
            raise LdmError(
                f"{path.parent} has only pickled weights ({pickles[0]}), which can run code when loaded; refused.",
                hint="Convert the model to safetensors.",
            )
        raise NotFound(f"{path} is missing.")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise NotFound(f"{path} is a git-lfs pointer, not the weights.", hint="Run `git lfs pull` in that repository.")
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        size, wanted = path.stat().st_size, _stated_size(path)
        if wanted and size < wanted:
            raise LdmError(f"{path} is truncated: got {size} of {wanted} bytes.", hint="Get the file again.") from error
        raise LdmError(f"{path} is damaged or not a safetensors file: {error}", hint="Get the file again.") from error


def _stated_size(path: Path) -> int | None:
    """Bytes that a safetensors file must have by its own header, None if the header cannot be read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(length) if length <= 100_000_000 else b""
    if len(start) < length:
        return 8 + length if start.startswith(b'{"') else None
    try:
        header = json.loads(start)
        return 8 + length + max((tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
