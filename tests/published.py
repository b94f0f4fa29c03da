"""A tiny Stable Diffusion made and saved by diffusers and transformers themselves: what our readers have to read."""

import json
from pathlib import Path

import diffusers
import torch
import transformers

LENGTH = 12
"""Tokens of a prompt, start and end among them."""


def bytes_to_unicode() -> list[str]:
    """The printable stand-in of every byte in CLIP's vocabulary (Radford et al. 2019)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]


MERGES = ["c a", "ca t</w>", "d o", "do g</w>", "a n", "an d</w>", "l l</w>"]
ENTRIES = [
    *(letters := bytes_to_unicode()),
    *(f"{letter}</w>" for letter in letters),
    *(merge.replace(" ", "") for merge in MERGES),
    "<|startoftext|>",
    "<|endoftext|>",
]


def write_tokenizer(folder: Path, config: dict | None = None, special: dict | None = None) -> Path:
    """vocab.json and merges.txt of a byte-level vocabulary with the words cat, dog and and, as old versions wrote them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({entry: number for number, entry in enumerate(ENTRIES)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n")
    for name, body in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        if body is not None:
            (folder / name).write_text(json.dumps(body))
    return folder


def write_pipeline(folder: Path) -> Path:
    """A StableDiffusionPipeline folder; pictures are 16 x 16, latents 4 x 8 x 8."""
    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    text = {"vocab_size": len(ENTRIES), "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"max_position_embeddings": LENGTH, "bos_token_id": len(ENTRIES) - 2, "eos_token_id": len(ENTRIES) - 1, "pad_token_id": 1}
    words = write_tokenizer(folder / "words", {"model_max_length": LENGTH})
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.7, **blocks
        ),
        text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**text, **ends)),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(words),
        unet=diffusers.UNet2DConditionModel(
            sample_size=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=8,
            attention_head_dim=2,
            **blocks,
        ),
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "tiny")
    return folder / "tiny"
