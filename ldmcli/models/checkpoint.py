"""One file with a whole Stable Diffusion in it, as CompVis and Stability AI published theirs. Imports no torch.

The file holds tensors and no configs. Which family it is shows in its keys, the widths in its shapes; the rest is known of the family.
The names of tensors are those of CompVis' code; compvis.py turns ours, which are diffusers', into them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError
from ldmcli.models.compvis import open_clip_name, unet_name, vae_name
from ldmcli.models.compvis_yaml import stated
from ldmcli.models.header import Shapes
from ldmcli.models.layout import SUPPORTED
from ldmcli.networks.configs import DEFAULT_SCALE, CLIPTextConfig, UNetConfig, VAEConfig

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
INNER = "text_model."
"""Between CLIP and the names of transformers' CLIPTextModel, but for the oldest files."""

HEAD_WIDTH = 64
"""Of every attention head in both text towers, and in the U-Net of SD 2.x."""
FIRST, SECOND = 768, 1024
"""Width of the text of SD 1.x (CLIP ViT-L) and SD 2.x (OpenCLIP ViT-H)."""
UNUSED_LAYER = 23
"""SD 2.x reads OpenCLIP's last layer but one. The first files hold the last one too; those made from a diffusers folder do not."""

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


NOT_USED = r"position_ids$|logit_scale$|text_projection(\.weight)?$|^loss\.|^model_ema\."
"""Ends and beginnings of keys: what only training, or another use of the text tower, needs."""


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a file before its tensors are read: each network by its own tensors, for files have been put together of several.

    vae: what its VAE's keys begin with, "" in a file with a VAE alone; text: likewise, of the text tower.
    """

    path: Path
    shapes: Shapes
    vae: str
    text: str

    @property
    def open_clip(self) -> bool:
        """Whether the text tower has OpenCLIP's names, with q, k and v in one tensor."""
        return self.text == OPEN_CLIP

    def prefix(self, name: str) -> str:
        """What the keys of a component begin with."""
        return {"unet": UNET, "vae": self.vae, "text_encoder": OPEN_CLIP if self.open_clip else CLIP}[name]

    def key(self, name: str, key: str, config: Any) -> str:
        """The file's name of our tensor `key` of a component with this config."""
        if name == "text_encoder":
            return self.text + (open_clip_name(key) if self.open_clip else key)
        return self.prefix(name) + (unet_name(key, config) if name == "unet" else vae_name(key, config))

    def used(self, name: str) -> Iterator[str]:
        """The keys of a component that its network has a place for, or that are wrong there."""
        for key in self.shapes:
            if key.startswith(self.prefix(name)) and not re.search(NOT_USED, key):
                if name != "text_encoder" or self.layer(key) != UNUSED_LAYER:
                    yield key

    def config(self, name: str) -> UNetConfig | VAEConfig | CLIPTextConfig:
        """Widths from the shapes, everything else as in the family's published config.json. Raises LdmError for a component it lacks."""
        try:
            return self._unet() if name == "unet" else self._vae() if name == "vae" else self._text()
        except LdmError as error:
            raise LdmError(f"{self.path}: {error.message}", hint=error.hint) from error
        except (ValueError, ZeroDivisionError) as error:
            raise LdmError(f"{self.path} has no {name} of Stable Diffusion: a tensor has another shape.", hint=SUPPORTED) from error
        except (KeyError, IndexError) as error:
            raise LdmError(f"{self.path} has no {name} of Stable Diffusion: {error.args[0]} is missing.", hint=SUPPORTED) from error

    def _unet(self) -> UNetConfig:
        first = self.shapes[f"{UNET}input_blocks.0.0.weight"]
        widths = tuple(self.shapes[f"{UNET}input_blocks.{3 * level + 1}.0.in_layers.2.weight"][0] for level in range(4))
        context = self.shapes[f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"][1]
        linear = len(self.shapes[f"{UNET}input_blocks.1.1.proj_in.weight"]) == 2
        second = context == SECOND or (context != FIRST and linear)
        return UNetConfig(
            sample_size=64,
            in_channels=first[1],
            out_channels=self.shapes[f"{UNET}out.2.weight"][0],
            block_out_channels=widths,
            cross_attention_dim=context,
            attention_head_dim=tuple(width // HEAD_WIDTH for width in widths) if second else 8,
            use_linear_projection=linear,
            upcast_attention=second,
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
            scaling_factor=stated(self.path).get("scale_factor", DEFAULT_SCALE),
        )

    def _text(self) -> CLIPTextConfig:
        token, place, widest = (
            ("token_embedding.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight") if self.open_clip
            else ("embeddings.token_embedding.weight", "embeddings.position_embedding.weight", "encoder.layers.0.mlp.fc1.weight")
        )  # fmt: skip
        vocabulary, width = self.shapes[self.text + token]
        second = self.open_clip or width == SECOND
        return CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=self.shapes[self.text + widest][0],
            num_hidden_layers=len(self.text_layers()),
            num_attention_heads=width // HEAD_WIDTH,
            max_position_embeddings=self.shapes[self.text + place][0],
            hidden_act="gelu" if second else "quick_gelu",
        )

    def layer(self, key: str) -> int | None:
        """The layer of the text tower that a key belongs to."""
        found = re.match(rf"{re.escape(self.text)}(?:encoder\.layers|transformer\.resblocks)\.(\d+)\.", key)
        return int(found[1]) if found else None

    def text_layers(self) -> set[int]:
        """The layers that are run: all but UNUSED_LAYER. With a gap among them the tensors of the layer that lacks are missing."""
        return {layer for key in self.shapes if (layer := self.layer(key)) is not None} - {UNUSED_LAYER}


def recognise(path: Path, shapes: Shapes, *needed: str) -> Checkpoint:
    """Raises LdmError that says what the file is instead, or which of the needed components it lacks."""
    for start, other in OTHERS.items():
        if any(key.startswith(start) for key in shapes):
            raise LdmError(f"{path} is {other}, which is not supported.", hint=SUPPORTED)
    if any(key.startswith(("encoder.down_blocks.", "down_blocks.")) for key in shapes):
        raise LdmError(f"{path} is one part of a diffusers folder; its config is needed too.", hint="Pass the folder.")
    vae = "" if "encoder.down.0.block.0.conv1.weight" in shapes else VAE
    texts = (OPEN_CLIP, CLIP + INNER, CLIP)
    text = next((text for text in texts if any(key.startswith(text) for key in shapes)), CLIP)
    found = Checkpoint(path, shapes, vae, text)
    missing = [name for name in needed if not any(key.startswith(found.prefix(name)) for key in shapes)]
    if missing:
        raise LdmError(f"{path} is no Stable Diffusion checkpoint: it has no {', no '.join(missing)}.", hint=SUPPORTED)
    for name in needed:
        found.config(name)
    return found
