"""Low-rank changes of weights (LoRA, Hu et al. 2021): read from a file, added to a network's weights, written in the format of diffusers.

A layer's weight W (out, in) becomes W + scale * alpha / r * up @ down, with down (r, in) and up (out, r). Two families of names are read:
diffusers' (`unet.down_blocks.0....to_q.lora_A.weight`; over the years also `.lora.down.` and `.processor.to_q_lora.down.`) and kohya's
(`lora_unet_down_blocks_0_..._to_q.lora_down.weight`), whose dots became underscores.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmcli.errors import LdmError, NonFinite
from ldmcli.models.header import read_header
from ldmcli.models.lora_source import LORA_FILE, LoraSource
from ldmcli.models.weights import read_tensors
from ldmcli.runtime.files import replacing

METADATA = "lora_adapter_metadata"
"""Where diffusers keeps peft's settings in the header of the file."""

PREFIXES = {"unet": ("unet.", "lora_unet_"), "text_encoder": ("text_encoder.text_model.", "text_encoder.", "lora_te_text_model_")}
DOWN, UP = r"lora_A|lora_down|lora\.down|lora_linear_layer\.down", r"lora_B|lora_up|lora\.up|lora_linear_layer\.up"
KEY = re.compile(rf"(?P<layer>.+?)\.(?:(?P<down>{DOWN})\.weight|(?P<up>{UP})\.weight|alpha)")

OLD_QKV, OLD_OUT = (r"\.processor\.(to_[qkv])_lora\.", r".\1.lora."), (".processor.to_out_lora.", ".to_out.0.lora.")
"""diffusers before 0.22 had adapters in attention processors."""

OF_OTHERS = "A LoRA belongs to the family of models that it was trained on, such as Stable Diffusion 1.x."


@dataclass(frozen=True)
class Change:
    """down: (r, ...), up: (out, r, ...), both flattened to matrices when they are used; alpha: None is r."""

    down: Tensor
    up: Tensor
    alpha: float | None = None

    def of(self, weight: Tensor) -> Tensor:
        """What is added to a weight at scale 1, in fp32. Raises ValueError unless the shapes fit."""
        if self.down.dim() < 2 or self.up.dim() < 2 or not self.down.numel():
            raise ValueError(f"what it holds has shapes {tuple(self.down.shape)} and {tuple(self.up.shape)}, which are no matrices")
        down, up = self.down.float().flatten(1), self.up.float().flatten(1)
        rank = len(down)
        if up.shape != (len(weight), rank) or rank * weight[0].numel() != down.numel():
            raise ValueError(f"it changes a weight of {len(up)} x {down.shape[1]}, and here it is {len(weight)} x {weight[0].numel()}")
        return (up @ down).reshape(weight.shape) * ((rank if self.alpha is None else self.alpha) / rank)


Changes = dict[str, Change]
"""By the name of the layer: as our networks call it, or with underscores for dots."""


def with_loras(network: Any, part: str, loras: Sequence[LoraSource]) -> Any:
    """The network itself, its weights changed by every LoRA that has something for `part` (unet or text_encoder). Raises LdmError."""
    for lora in loras:
        try:
            add_changes(network, read_changes(lora.path)[part], lora.scale)
        except (ValueError, NonFinite) as error:
            if isinstance(error, NonFinite):
                raise NonFinite(f"{lora.path}: {part}, {error.message}") from error
            raise LdmError(f"{lora.path} does not fit this model: {part}, {error}.", hint=OF_OTHERS) from error
    return network


def add_changes(network: nn.Module, changes: Changes, scale: float = 1.0) -> None:
    """Change the weights of the named layers. Raises ValueError for a layer that is not there or of another shape, NonFinite."""
    layers = {spelled: layer for name, layer in network.named_modules() for spelled in (name, name.replace(".", "_"))}
    for name, change in changes.items():
        layer = layers.get(name)
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise ValueError(f"which has no layer {name}")
        try:
            changed = layer.weight.float() + scale * change.of(layer.weight)
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}") from error
        if not changed.isfinite().all():
            raise NonFinite(f"layer {name} becomes NaN or infinite.")
        # A new tensor: the old one may be the file itself, mapped into memory.
        layer.weight = nn.Parameter(changed, requires_grad=False)


def read_changes(path: Path) -> dict[str, Changes]:
    """The changes of both networks. Raises LdmError for a file that is no LoRA, or one of a kind that is not read here."""
    pieces: dict[tuple[str, str], dict[str, Any]] = {}
    for key, tensor in read_tensors(path).items():
        part, name = _part(path, re.sub(*OLD_QKV, key.replace(*OLD_OUT)))
        found = KEY.fullmatch(name)
        if found is None:
            raise LdmError(f"{path}: {key} is not part of a plain LoRA.", hint="LoHa, LoKr, DoRA and changed biases are not supported.")
        kind = "down" if found["down"] else "up" if found["up"] else "alpha"
        pieces.setdefault((part, found["layer"]), {})[kind] = float(tensor.float().mean()) if kind == "alpha" else tensor
    if not pieces:
        raise LdmError(f"{path} holds no tensors.")
    stated = _stated_alphas(path)
    changes: dict[str, Changes] = {part: {} for part in PREFIXES}
    for (part, name), found_here in pieces.items():
        if not {"down", "up"} <= found_here.keys():
            raise LdmError(f"{path}: {part}, layer {name} lacks one of its two matrices.", hint="Get the file again.")
        if part in stated:
            found_here.setdefault("alpha", stated[part](name, len(found_here["down"])))
        changes[part][name] = Change(**found_here)
    return changes


def _part(path: Path, key: str) -> tuple[str, str]:
    """(unet or text_encoder, the rest of the key)."""
    for part, prefixes in PREFIXES.items():
        for prefix in prefixes:
            if key.startswith(prefix):
                return part, key.removeprefix(prefix)
    larger = key.startswith(("lora_te1_", "lora_te2_", "text_encoder_2.", "transformer."))
    what = "a LoRA for Stable Diffusion XL or another model" if larger else "no LoRA that is known here"
    raise LdmError(
        f"{path} is {what}: {key} belongs to neither U-Net nor text encoder.",
        hint="LoRAs of Stable Diffusion 1.x and 2.x in the formats of diffusers and kohya are supported.",
    )


def _stated_alphas(path: Path) -> dict[str, Any]:
    """For each part that the header speaks of, a function (layer, rank) -> alpha, as peft reads its own settings."""
    try:
        settings = json.loads(read_header(path).metadata.get(METADATA, "{}"))
        own = {part: {k.removeprefix(f"{part}."): v for k, v in settings.items() if k.startswith(f"{part}.")} for part in PREFIXES}
    except (ValueError, AttributeError) as error:
        raise LdmError(f"{path}: {METADATA} in its header is not readable: {error}.") from error
    return {part: lambda name, rank, own=values: _alpha(own, name, rank) for part, values in own.items() if "lora_alpha" in values}


def _alpha(settings: Mapping[str, Any], name: str, rank: int) -> float:
    """peft's rules: the first pattern that is the name or its end wins; rank-stabilised ones divide by sqrt(r) (Kalajdzievski 2023)."""
    patterns = settings.get("alpha_pattern") or {}
    alpha = next((value for pattern, value in patterns.items() if re.match(rf"(.*\.)?({pattern})$", name)), settings["lora_alpha"])
    return float(alpha) * (rank**0.5 if settings.get("use_rslora") else 1.0)


def save_lora(folder: Path, parts: Mapping[str, Changes], alpha: float, rank: int) -> Path:
    """Write `folder/pytorch_lora_weights.safetensors` as StableDiffusionPipeline.save_lora_weights does, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for part, changes in parts.items():
        if changes:
            targets = sorted({_target(name) for name in changes})
            settings |= {f"{part}.{key}": value for key, value in {"r": rank, "lora_alpha": alpha, "target_modules": targets}.items()}
        for name, change in changes.items():
            # transformers before 5.6 wraps the text tower, and newer ones drop this prefix themselves
            key = f"{part}.{'text_model.' if part == 'text_encoder' else ''}{name}"
            tensors |= {f"{key}.lora_A.weight": change.down, f"{key}.lora_B.weight": change.up}
    tensors = {key: value.detach().to("cpu", torch.float32).contiguous() for key, value in tensors.items()}
    with replacing(folder / LORA_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", METADATA: json.dumps(settings, indent=2, sort_keys=True)})
    return folder / LORA_FILE


def _target(name: str) -> str:
    """`...attn1.to_out.0` -> to_out.0, `...attn1.to_q` -> to_q."""
    return re.sub(r".*\.(?=[a-z_]+(\.\d+)?$)", "", name)
