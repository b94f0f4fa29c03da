"""One file with a whole Stable Diffusion in it, as CompVis and Stability AI published theirs. Imports no torch.

The file holds tensors and no configs. Which family it is shows in its keys, the widths in its shapes; the rest is known of the family.
The names of tensors are those of CompVis' code; compvis.py turns ours, which are diffusers', into them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError
from ldmcli.models.compvis import clip_name, open_clip_name, unet_name, vae_name
from ldmcli.models.layout import SUPPORTED
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig

Shapes = Mapping[str, tuple[int, ...]]

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
HEAD_WIDTH = 64
"""Of every attention head in both text towers, and in the U-Net of SD 2.x."""

OTHERS = {
    "conditioner.embedders.": "Stable Diffusion XL",
    "model.diffusion_model.joint_blocks.": "Stable Diffusion 3",
    "joint_blocks.": "Stable Diffusion 3",
    "model.diffusion_model.double_blocks.": "Flux",
    "double_blocks.": "Flux",
    "control_model.": "a ControlNet",
    "lora_": "a LoRA",
    "text_encoders.": "a model with other text encoders",
}
"""Beginnings of keys that only these have."""

SCHEDULER = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000,
    "set_alpha_to_one": False, "steps_offset": 1,
}  # fmt: skip
"""scheduler_config.json of both families, apart from what the network predicts."""


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a file before its tensors are read. vae: what its VAE's keys begin with, "" in a file with a VAE alone."""

    path: Path
    shapes: Shapes
    vae: str
    text: str

    @property
    def second(self) -> bool:
        """SD 2.x, by its text tower."""
        return self.text == OPEN_CLIP

    def prefix(self, name: str) -> str:
        """What the keys of a component begin with."""
        return {"unet": UNET, "vae": self.vae, "text_encoder": self.text}[name]

    def key(self, name: str, key: str, config: Any) -> str:
        """The file's name of our tensor `key` of a component with this config."""
        if name == "text_encoder":
            return self.text + (open_clip_name(key) if self.second else clip_name(key))
        return self.prefix(name) + (unet_name(key, config) if name == "unet" else vae_name(key, config))

    def config(self, name: str) -> UNetConfig | VAEConfig | CLIPTextConfig:
        """Widths from the shapes, everything else as in the family's published config.json. Raises LdmError for a component it lacks."""
        try:
            return self._unet() if name == "unet" else self._vae() if name == "vae" else self._text()
        except (KeyError, IndexError) as error:
            raise LdmError(f"{self.path} has no {name} of Stable Diffusion: {error.args[0]} is missing.", hint=SUPPORTED) from error

    def _unet(self) -> UNetConfig:
        first = self.shapes[f"{UNET}input_blocks.0.0.weight"]
        widths = tuple(self.shapes[f"{UNET}input_blocks.{3 * level + 1}.0.in_layers.2.weight"][0] for level in range(4))
        return UNetConfig(
            sample_size=64,
            in_channels=first[1],
            out_channels=self.shapes[f"{UNET}out.2.weight"][0],
            block_out_channels=widths,
            cross_attention_dim=self.shapes[f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"][1],
            attention_head_dim=tuple(width // HEAD_WIDTH for width in widths) if self.second else 8,
            use_linear_projection=self.second,
            upcast_attention=self.second,
        )

    def _vae(self) -> VAEConfig:
        widths = tuple(self.shapes[f"{self.vae}encoder.down.{level}.block.0.conv1.weight"][0] for level in range(4))
        return VAEConfig(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
            latent_channels=self.shapes[f"{self.vae}decoder.conv_in.weight"][1],
            sample_size=512,
            scaling_factor=0.18215,
        )

    def _text(self) -> CLIPTextConfig:
        embedding = "token_embedding.weight" if self.second else "text_model.embeddings.token_embedding.weight"
        vocabulary, width = self.shapes[f"{self.text}{embedding}"]
        pattern = rf"{re.escape(self.text)}.*(?:layers|resblocks)\.(\d+)\."
        layers = 1 + max(int(found[1]) for key in self.shapes if (found := re.match(pattern, key)))
        return CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            # SD 2.x reads OpenCLIP's last layer but one
            num_hidden_layers=layers - self.second,
            num_attention_heads=width // HEAD_WIDTH,
            hidden_act="gelu" if self.second else "quick_gelu",
        )


def recognise(path: Path, shapes: Shapes, *needed: str) -> Checkpoint:
    """Raises LdmError that says what the file is instead, or which of the needed components it lacks."""
    for start, other in OTHERS.items():
        if any(key.startswith(start) for key in shapes):
            raise LdmError(f"{path} is {other}, which is not supported.", hint=SUPPORTED)
    if any(key.startswith(("encoder.down_blocks.", "down_blocks.")) for key in shapes):
        raise LdmError(f"{path} is one part of a diffusers folder; its config is needed too.", hint="Pass the folder.")
    vae = "" if "encoder.down.0.block.0.conv1.weight" in shapes else VAE
    found = Checkpoint(path, shapes, vae, OPEN_CLIP if any(key.startswith(OPEN_CLIP) for key in shapes) else CLIP)
    missing = [name for name in needed if not any(key.startswith(found.prefix(name)) for key in shapes)]
    if missing:
        raise LdmError(f"{path} is no Stable Diffusion checkpoint: it has no {', no '.join(missing)}.", hint=SUPPORTED)
    for name in needed:
        found.config(name)
    return found


def read_header(path: Path) -> tuple[Shapes, dict[str, str]]:
    """Shapes and metadata of a safetensors file, empty where it cannot be read: the full reading says why."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= 100_000_000 else {}
        metadata = header.pop("__metadata__", {})
        return {key: tuple(entry["shape"]) for key, entry in header.items()}, metadata
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}
