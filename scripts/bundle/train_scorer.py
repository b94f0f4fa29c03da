"""Train the bundled scorer: a small CLIP, pictures against captions (Radford et al. 2021, sec. 2.3).

    python scripts/bundle/train_scorer.py --data DIR -o FOLDER --cache DIR [--minutes 25] [--init FOLDER]

Writes FOLDER as `CLIPModel.from_pretrained` and `CLIPProcessor.from_pretrained` read it. Nothing of the model that it judges is
in it but the vocabulary: both towers start from random weights, or go on from an earlier edition (--init). It is to judge what the
picture shows and not its pixels, so it sees each one shifted, scaled, blurred, noisy, as a JPEG, and through the bundled VAE with its
latents disturbed, as a U-Net leaves them.
One picture in 20 is held out; its concept is seen in other styles only.
"""

import argparse
import io
import json
import math
import random
import shutil
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from ldmcli.data.cache import Entry, decoded_pictures, to_unit_range
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.layouts import load_captioned
from ldmcli.engine.session import make_codec
from ldmcli.images import to_uint8
from ldmcli.models.loading import load_vae
from ldmcli.models.saving import write_json
from ldmcli.models.source import BUNDLED
from ldmcli.models.tokenizer import ClipTokenizer, load_tokenizer

LENGTH = 32
SIDE, PATCH, WIDTH = 48, 12, 128
PEAK = 1.5e-3
TOKENIZER_FILES = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
HELD_OUT = 20
"""One picture in so many is never trained on."""
MEAN, STD = torch.tensor(CLIPImageProcessorPil.image_mean)[:, None, None], torch.tensor(CLIPImageProcessorPil.image_std)[:, None, None]


def build(tokenizer: ClipTokenizer) -> CLIPModel:
    """Random weights, 1.7 million."""
    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH}
    ends = {"bos_token_id": tokenizer.start, "eos_token_id": tokenizer.end, "pad_token_id": tokenizer.pad}
    words = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": LENGTH, "num_hidden_layers": 2}
    patches = {"image_size": SIDE, "patch_size": PATCH, "num_hidden_layers": 4}
    return CLIPModel(CLIPConfig(text_config={**shared, **words, **ends}, vision_config={**shared, **patches}, projection_dim=WIDTH))


def save(model: CLIPModel, folder: Path, vocabulary: Path) -> None:
    """fp16 on disk; the config says fp32, which is how it is to be computed. vocabulary: the tokenizer's files."""
    weights = {key: value.detach().half() for key, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=weights)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "dtype": "float32"})
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(vocabulary / name, folder / name)


def variants(pixels: Tensor, seed: int = 0) -> list[Tensor]:
    """The pictures (N, 3, 64, 64) uint8 as they are, as JPEGs, and through the VAE with noise of up to 0.4 on their latents."""
    codec, noise = make_codec(load_vae(BUNDLED)), torch.Generator().manual_seed(seed)
    jpegs = torch.stack([as_jpeg(picture, 25 + number % 50) for number, picture in enumerate(pixels)])
    drawn = []
    with torch.no_grad():
        for part in pixels.split(16):
            latents, _ = codec.encode(to_unit_range(part))
            spread = 0.4 * torch.rand(len(part), 1, 1, 1, generator=noise)
            pictures = codec.decode(latents + spread * torch.randn(latents.shape, generator=noise))
            drawn.append(to_uint8(pictures).permute(0, 3, 1, 2))
    return [pixels, jpegs, torch.cat(drawn)]


def as_jpeg(picture: Tensor, quality: int) -> Tensor:
    """(3, H, W) uint8 in and out."""
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)


def augmented(pixels: Tensor, noise: torch.Generator) -> Tensor:
    """(B, 3, 64, 64) uint8 -> (B, 3, SIDE, SIDE) as CLIP takes it: each shifted by up to 6 pixels, scaled by 0.8 to 1.2 (white comes in),
    half of them blurred, half noisy."""
    count = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=noise)

    zoom = uniform(0.8, 1.2)
    frame = torch.zeros(count, 2, 3)
    frame[:, 0, 0] = frame[:, 1, 1] = zoom
    frame[:, :, 2] = uniform(-0.19, 0.19, 2)
    grid = F.affine_grid(frame, [count, 3, SIDE, SIDE], align_corners=False)
    moved = F.grid_sample(pixels.float() / 255 - 1, grid, mode="bilinear", align_corners=False) + 1  # zero, so white, outside
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    moved = torch.lerp(moved, blurred, uniform(-1, 1, 1, 1, 1).clamp(min=0))
    moved = moved + uniform(-0.08, 0.08, 1, 1, 1).clamp(min=0) * torch.randn(moved.shape, generator=noise)
    return (moved.clamp(0, 1) - MEAN) / STD


def true_of(texts: list[str], concepts: list[str], rows: list[dict[str, str]], captions: list[tuple[str, ...]]) -> Tensor:
    """(texts, pictures), 1 where a caption is true of a picture: its own, or the same concept and no other style named.

    concepts: the emoji of each text; rows, captions: facts and captions of each picture.
    """
    styles = {row["style"] for row in rows}
    named = [next((style for style in styles if style in text), None) for text in texts]
    return torch.tensor(
        [
            [
                float(text in own or (concept == row["emoji"] and style in (None, row["style"])))
                for row, own in zip(rows, captions, strict=True)
            ]
            for text, concept, style in zip(texts, concepts, named, strict=True)
        ]
    )


def soft_cross_entropy(logits: Tensor, match: Tensor) -> Tensor:
    """Rows of `match` are the targets, once they are scaled to add up to one; a row with no match does not count."""
    kept = match.sum(dim=-1) > 0
    target = match[kept] / match[kept].sum(dim=-1, keepdim=True)
    return F.cross_entropy(logits[kept], target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="decoded and disturbed pictures, kept for the next run")
    parser.add_argument("--minutes", type=float, default=25, help="stop after so many minutes")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--lr", type=float, default=PEAK, help="the highest, reached after 100 steps")
    parser.add_argument("--init", type=Path, help="go on from the weights of this scorer")
    parser.add_argument("--concepts", type=int, default=40, help="concepts per batch, each in up to three styles")
    args = parser.parse_args()

    data = load_captioned(args.data)
    facts = read_facts(args.data, data)
    pixels = next(e for e in decoded_pictures(data, 64, args.cache) if isinstance(e, Entry)).arrays["pixels"]
    kept = args.cache / "versions.pt"
    if not kept.is_file():
        torch.save(variants(pixels), kept)
    versions = torch.load(kept)
    captions = [image.captions for image in data.images]
    vocabulary = args.init or BUNDLED / "tokenizer"  # an earlier edition's may not be the bundled model's of today
    tokenizer = load_tokenizer(vocabulary, LENGTH)
    tokens = {caption: tokenizer.encode(caption) for group in captions for caption in group}
    seen: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(facts):
        if not is_held_out(number):
            seen[row["emoji"]].append(number)

    torch.manual_seed(0)
    model = CLIPModel.from_pretrained(args.init, dtype=torch.float32).train() if args.init else build(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05, betas=(0.9, 0.98))
    print(f"{sum(p.numel() for p in model.parameters()):,} weights, {len(versions)} versions of {len(data)} pictures", flush=True)
    rng, noise, names, started = random.Random(0), torch.Generator().manual_seed(0), sorted(seen), time.monotonic()
    for step in range(args.steps):
        progress = max(step / args.steps, (time.monotonic() - started) / 60 / args.minutes)
        if progress >= 1:
            break
        optimizer.param_groups[0]["lr"] = args.lr * min((step + 1) / 100, 1) * (1 + math.cos(math.pi * progress)) / 2
        concepts = rng.sample(names, args.concepts)
        chosen = [number for name in concepts for number in seen[name]]
        texts = [rng.choice(captions[rng.choice(seen[name])]) for name in concepts]
        encoded = [tokens[t] for t in texts]
        ids = torch.stack([e.ids[: max(e.length for e in encoded)] for e in encoded])  # causal: what follows the end does not matter
        pictures = augmented(torch.stack([rng.choice(versions)[number] for number in chosen]), noise)
        t = F.normalize(model.get_text_features(ids).pooler_output, dim=-1)
        p = F.normalize(model.get_image_features(pictures).pooler_output, dim=-1)
        match = true_of(texts, concepts, [facts[n] for n in chosen], [captions[n] for n in chosen])
        logits = model.logit_scale.clamp(max=math.log(100)).exp() * t @ p.T
        loss = soft_cross_entropy(logits, match) + soft_cross_entropy(logits.T, match.T)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            hit = match[logits.argmax(dim=0), torch.arange(len(chosen))].mean().item()
            print(f"step {step} loss {loss.item():.3f} pictures that find a true caption {hit:.2f} among {len(texts)}", flush=True)
        if step % 100 == 99:
            save(model, args.output, vocabulary)
    save(model, args.output, vocabulary)
    print(f"saved {args.output} after {step + 1} steps, {time.monotonic() - started:.0f} s", flush=True)


def is_held_out(number: int) -> bool:
    """Never trained on. The pictures of a concept stand together, so its other styles are."""
    return number % HELD_OUT == 0


def read_facts(root: Path, data: CaptionedImages) -> list[dict[str, str]]:
    """What the data set says of each picture (emoji, style), in the order of `data`."""
    rows = json.loads((root / "annotations/captions_train2017.json").read_text())["images"]
    by_id = {str(row["id"]): row for row in rows}
    return [by_id[image.id] for image in data.images]


if __name__ == "__main__":
    main()
