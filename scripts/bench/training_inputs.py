"""What both sides of scripts/bench/training.py are given: pictures with captions, frozen encoders, the U-Net to start from."""

import json
import random
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image, ImageDraw, ImageFilter
from transformers import CLIPTextConfig, CLIPTextModel

from ldmcli.data.layouts import load_captioned

COLOURS = ("red", "orange", "gold", "green", "teal", "blue", "purple", "pink", "brown", "black", "white", "gray")
SHAPES = ("ellipse", "rectangle", "rounded_rectangle")


def draw_pictures(folder: Path, count: int, seed: int) -> Path:
    """JPEG files of COCO's usual size with one caption each, and metadata.jsonl."""
    folder.mkdir(parents=True)
    chance, rows = random.Random(seed), []
    for number in range(count):
        ground, colour = chance.sample(COLOURS, 2)
        shape, left, top = chance.choice(SHAPES), chance.randrange(80, 280), chance.randrange(20, 220)
        picture = Image.effect_noise((640, 480), 60).convert("RGB")
        picture = Image.blend(picture, Image.new("RGB", picture.size, ground), 0.7)
        box = (left, top, left + chance.randrange(100, 280), top + chance.randrange(100, 240))
        getattr(ImageDraw.Draw(picture), shape)(box, fill=colour)
        picture.filter(ImageFilter.GaussianBlur(2)).save(folder / f"{number:04d}.jpg", quality=90)
        rows.append({"file_name": f"{number:04d}.jpg", "text": f"a {colour} {shape.replace('_', ' ')} on {ground}"})
    return write_rows(folder, rows)


def copy_pictures(data: Path, folder: Path, first: int, count: int) -> Path:
    """`count` pictures of any data set that `ldm` reads, with all their captions, and metadata.jsonl."""
    folder.mkdir(parents=True)
    images = load_captioned(data).images[first : first + count]
    assert len(images) == count, f"{data} has too few pictures: {first + count} are needed."
    for image in images:
        shutil.copyfile(image.path, folder / image.path.name)
    return write_rows(folder, [{"file_name": image.path.name, "text": list(image.captions)} for image in images])


def write_rows(folder: Path, rows: list[dict[str, object]]) -> Path:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def make_encoders(config: Path, folder: Path) -> Path:
    """VAE and text tower of random weights in the shape that `config` gives, with its tokenizer."""
    torch.manual_seed(0)
    AutoencoderKL.from_config(AutoencoderKL.load_config(config / "vae")).save_pretrained(folder / "vae")
    CLIPTextModel(CLIPTextConfig.from_pretrained(config / "text_encoder")).save_pretrained(folder / "text_encoder")
    shutil.copytree(config / "tokenizer", folder / "tokenizer", copy_function=shutil.copyfile)
    return folder


def make_small_unet(encoders: Path, folder: Path, seed: int) -> Path:
    """A new U-Net of channels (64, 128, 192) that fits the encoders."""
    torch.manual_seed(seed)
    latents = AutoencoderKL.load_config(encoders / "vae")["latent_channels"]
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=latents,
        out_channels=latents,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        block_out_channels=(64, 128, 192),
        cross_attention_dim=CLIPTextConfig.from_pretrained(encoders / "text_encoder").hidden_size,
        attention_head_dim=4,
    )
    unet.save_pretrained(folder / "unet")
    return folder


def make_unet(config: Path, folder: Path) -> Path:
    """A new U-Net of the shape that `config` gives."""
    torch.manual_seed(0)
    UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(config / "unet")).save_pretrained(folder / "unet")
    return folder
