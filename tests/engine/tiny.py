"""The smallest things that are still real: a COCO folder of drawn pictures and a whole pipeline folder with random weights."""

import json
import os
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from tokenizers.pre_tokenizers import ByteLevel

from ldmcli.diffusion.schedule import make_schedule
from ldmcli.models.saving import save_component, save_pipeline_files, write_json
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 24
"""Tokens of a prompt, start and end among them; every letter is a token, except in `dog`, which is one."""

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("square", "circle", "line")


def make_coco(root: Path, count: int = 24) -> Path:
    """Pictures of 64 x 64 pixels in root/train2017, two captions each."""
    pictures = root / "train2017"
    pictures.mkdir(parents=True)
    (root / "annotations").mkdir()
    images, annotations = [], []
    for number in range(1, count + 1):
        colour, shape = COLOURS[number % 4], SHAPES[number % 3]
        picture = Image.new("RGB", (64, 64), (5 * number % 256, 40, 255 - 9 * number))
        draw, box = ImageDraw.Draw(picture), (4 + number, 8, 34 + number, 48)
        {"square": draw.rectangle, "circle": draw.ellipse, "line": draw.line}[shape](box, fill=colour)
        name = f"{number:012d}.png"
        picture.save(pictures / name)
        images.append({"id": number, "file_name": name, "width": 64, "height": 64})
        for which, text in enumerate((f"a {colour} {shape}", f"{shape} in {colour}")):
            annotations.append({"id": 2 * number + which, "image_id": number, "caption": text})
    (root / "annotations" / "captions_train2017.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return root


def make_tokenizer(model: Path) -> int:
    """A byte-level vocabulary with one word, in the files of CLIPTokenizer. Returns its size."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "do", "dog</w>", START, END]
    folder = model / "tokenizer"
    write_json(folder / "vocab.json", {word: number for number, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\nd o\ndo g</w>\n", encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, **special})
    return len(words)


def make_pipeline(model: Path, *, cross_attention_dim: int = 32) -> Path:
    """Cosine schedule, v prediction, 8 x 8 latents of 64 x 64 pictures; weights that draw something with contrast."""
    torch.manual_seed(1)
    vae = VAE(
        VAEConfig(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            norm_num_groups=4,
            sample_size=64,
            scaling_factor=0.5,
        )
    )
    unet = UNet(
        UNetConfig(
            sample_size=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=4,
        )
    )
    size = make_tokenizer(model)
    text = CLIPText(
        CLIPTextConfig(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            eos_token_id=size - 1,
        )
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(4)
        unet.conv_out.weight.mul_(2)
    save_component(model, "vae", vae.config, vae.state_dict())
    save_component(model, "unet", unet.config, unet.state_dict())
    save_component(model, "text_encoder", text.config, text.state_dict())
    save_pipeline_files(model, make_schedule("cosine", "v").to_file(), {"_ldm": {"defaults": {"steps": 4, "cfg": 3.0}}})
    return model


def environment() -> dict[str, str]:
    """For a fresh process: one thread, no hub."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
