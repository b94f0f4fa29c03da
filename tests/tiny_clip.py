"""A CLIP with tiny random weights, made and saved by transformers itself, and pictures to show it."""

from pathlib import Path

import torch
import transformers
from PIL import Image, ImageDraw
from published import ENTRIES, write_tokenizer

LENGTH = 77


def write_clip(folder: Path) -> Path:
    """A CLIPModel folder: pictures of 32 x 32, captions of 77 tokens; the words cat, dog and and are tokens, else every letter is one."""
    torch.manual_seed(4)
    shared = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "projection_dim": 8}
    ends = {"bos_token_id": len(ENTRIES) - 2, "eos_token_id": len(ENTRIES) - 1, "pad_token_id": len(ENTRIES) - 1}
    text = {**shared, "vocab_size": len(ENTRIES), "max_position_embeddings": LENGTH, **ends}
    vision = {**shared, "image_size": 32, "patch_size": 8}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    with torch.no_grad():  # as they are drawn, all captions lie almost on one spot
        for parameter in model.parameters():
            parameter.mul_(3) if parameter.ndim > 1 else parameter.add_(0.3 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    write_tokenizer(folder, {"model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer"})
    return folder


def draw_pictures(count: int) -> list[Image.Image]:
    """Different in colour, shape and size; some narrower than the model's 32 pixels."""
    pictures = []
    for number in range(count):
        width, height = 24 + 17 * number % 60, 40 + 29 * number % 70
        picture = Image.new("RGB", (width, height), (40 * number % 256, 90, 255 - 31 * number % 256))
        ImageDraw.Draw(picture).ellipse((3, number % 9, width // 2, height - 5), fill=(255, 25 * number % 256, 60))
        pictures.append(picture)
    return pictures
