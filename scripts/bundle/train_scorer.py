"""Train the bundled scorer: a small CLIP, pictures against captions (Radford et al. 2021, sec. 2.3).

    python scripts/bundle/train_scorer.py --data DIR -o FOLDER --cache DIR [--steps 9000]

Writes FOLDER as `CLIPModel.from_pretrained` and `CLIPProcessor.from_pretrained` read it. Nothing of the model that it judges is
in it but the vocabulary: both towers start from random weights. It is to judge what the picture shows and not its pixels, so it sees each
one in many views (scorer_views.py).

Two losses: a caption must find its picture among those of the batch and the other way round; and both, where a picture shows one
thing, must be nearest to that emoji's own vector among all, which says more per step than a batch does. Those vectors are thrown away.
One drawing of an emoji in 20 is held out with its variations; its concept is seen in other drawings only.
"""

import argparse
import hashlib
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from resume_point import ResumePoint, add_options, go_on, keep
from scorer_views import SIDE, augmented, variants
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from ldmcli.data.cache import Entry, decoded_pictures
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.layouts import load_captioned
from ldmcli.models.saving import write_json
from ldmcli.models.source import BUNDLED
from ldmcli.models.tokenizer import ClipTokenizer, load_tokenizer
from ldmcli.runtime.memory import keep_freed_memory

LENGTH = 32
PATCH, WIDTH = 8, 128
PEAK = 1.5e-3
TOKENIZER_FILES = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
HELD_OUT = 20
"""One drawing of an emoji in so many is never trained on."""
ONE_THING = ("single", "background", "split", "placed", "sized", "relation")
"""Kinds of pictures that are classified as well; the others show several things, or one in a colour that is not its own."""
CLASS_SCALE = 30.0
"""What cosines to the emoji's vectors are multiplied by."""


def build(tokenizer: ClipTokenizer) -> CLIPModel:
    """Random weights, 1.9 million with the bundled vocabulary."""
    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH}
    ends = {"bos_token_id": tokenizer.start, "eos_token_id": tokenizer.end, "pad_token_id": tokenizer.pad}
    words = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": LENGTH, "num_hidden_layers": 2}
    patches = {"image_size": SIDE, "patch_size": PATCH, "num_hidden_layers": 4}
    config = CLIPConfig(text_config={**shared, **words, **ends}, vision_config={**shared, **patches}, projection_dim=WIDTH)
    model = CLIPModel(config)
    model.set_attn_implementation("eager")  # torch's fused attention goes back many times as slowly through so few tokens (CPU, torch 2.13)
    return model


def save(model: CLIPModel, folder: Path, vocabulary: Path) -> None:
    """fp16 on disk; the config says fp32, which is how it is to be computed. vocabulary: the tokenizer's files."""
    weights = {key: value.detach().half() for key, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=weights)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "dtype": "float32"})
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(vocabulary / name, folder / name)


class Pictures:
    """Draws batches: half single emoji in all their versions, half scenes, each with one of its captions."""

    def __init__(self, root: Path, cache: Path, model: Path) -> None:
        data = load_captioned(root)
        pixels = next(e for e in decoded_pictures(data, 64, cache) if isinstance(e, Entry)).arrays["pixels"]
        facts = read_facts(root, data)
        self.singles = single_numbers(facts)
        self.scenes = [number for number, row in enumerate(facts) if row["kind"] != "single"]
        kept = cache / f"versions-{len(self.singles)}.pt"
        if not kept.is_file():
            torch.save(variants(pixels[self.singles], model), kept)
        self.versions, self.pixels, self.facts = torch.load(kept), pixels, facts
        self.captions = [image.captions for image in data.images]
        self.codes = {code: number for number, code in enumerate(dict.fromkeys(facts[number]["emoji"] for number in self.singles))}
        self.trained = [place for place, number in enumerate(self.singles) if not is_held_out(facts[number])]
        self.rng, self.noise = random.Random(0), torch.Generator().manual_seed(0)

    def batch(self, size: int) -> tuple[Tensor, list[str], Tensor]:
        """Views (size, 3, SIDE, SIDE), captions, and the emoji's number or -1."""
        places, scenes = self.rng.sample(self.trained, size // 2), self.rng.sample(self.scenes, size - size // 2)
        shown = [self.rng.choice(self.versions)[place] for place in places] + list(self.pixels[scenes])
        numbers = [self.singles[place] for place in places] + scenes
        texts = [self.rng.choice(self.captions[number]) for number in numbers]
        return augmented(torch.stack(shown), self.noise), texts, torch.tensor([self._class_of(self.facts[n]) for n in numbers])

    def _class_of(self, row: dict[str, Any]) -> int:
        if row["kind"] not in ONE_THING:
            return -1
        return self.codes[row["emoji"] if row["kind"] == "single" else row["objects"][0]["emoji"]]


def contrast(logits: Tensor, same: Tensor) -> Tensor:
    """Cross-entropy both ways; a pair that says or shows the same, (B, B) bool, is no counter-example."""
    hidden = logits.masked_fill(same & ~torch.eye(len(logits), dtype=torch.bool), -torch.inf)
    own = torch.arange(len(logits))
    return F.cross_entropy(hidden, own) + F.cross_entropy(hidden.T, own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="decoded and disturbed pictures, kept for the next run")
    parser.add_argument("--model", type=Path, default=BUNDLED, help="folder with the vocabulary, tokenizer/, and the VAE for its views")
    add_options(parser, steps=9000)
    parser.add_argument("--lr", type=float, default=PEAK, help="the highest, reached after 100 steps")
    parser.add_argument("--batch-size", type=int, default=192)
    args = parser.parse_args()

    keep_freed_memory(for_training=True)
    point = ResumePoint(args.output.with_name(f"{args.output.name}-training"), args.max_minutes)
    pictures, vocabulary = Pictures(args.data, args.cache, args.model), args.model / "tokenizer"
    tokenizer = load_tokenizer(vocabulary, LENGTH)
    torch.manual_seed(0)
    model, named_by = build(tokenizer), nn.Embedding(len(pictures.codes), WIDTH)
    classes = named_by.weight
    optimizer = torch.optim.AdamW([*model.parameters(), classes], lr=args.lr, weight_decay=0.05, betas=(0.9, 0.98), fused=True)
    print(f"{sum(p.numel() for p in model.parameters()):,} weights, {len(pictures.facts)} pictures", flush=True)
    learning = {"model": model, "classes": named_by, "optimizer": optimizer}
    for step in range(go_on(point, learning, pictures.rng), args.steps):
        optimizer.param_groups[0]["lr"] = args.lr * min((step + 1) / 100, 1) * (1 + math.cos(math.pi * step / args.steps)) / 2
        shown, texts, wanted = pictures.batch(args.batch_size)
        encoded = [tokenizer.encode(text) for text in texts]
        ids = torch.stack([e.ids[: max(e.length for e in encoded)] for e in encoded])  # causal: what follows the end does not matter
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said, seen = model.get_text_features(ids).pooler_output, model.get_image_features(shown).pooler_output
        t, p, c = (F.normalize(vectors.float(), dim=-1) for vectors in (said, seen, classes))
        same = torch.tensor([[a == b for b in texts] for a in texts]) | ((wanted[:, None] == wanted) & (wanted[:, None] >= 0))
        loss = contrast(model.logit_scale.clamp(max=math.log(100)).exp() * t @ p.T, same)
        named, shown_as = (F.cross_entropy(CLASS_SCALE * vectors @ c.T, wanted, ignore_index=-1) for vectors in (t, p))
        optimizer.zero_grad()
        (loss + named + shown_as).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            hit = ((p @ c.T).argmax(dim=1) == wanted)[wanted >= 0].float().mean().item()
            print(
                f"step {step} contrast {loss.item():.3f} text {named.item():.3f} pictures {shown_as.item():.3f} right {hit:.2f}", flush=True
            )
        if point.is_due():
            keep(point, step + 1, learning, pictures.rng)
    save(model, args.output, vocabulary)
    print(f"saved {args.output} after {args.steps} steps", flush=True)


def single_numbers(facts: list[dict[str, Any]]) -> list[int]:
    """Of the single emoji, once each: the list has them more than once."""
    first = {row["file_name"]: number for number, row in reversed(list(enumerate(facts))) if row["kind"] == "single"}
    return sorted(first.values())


def is_held_out(row: dict[str, Any]) -> bool:
    """Never trained on alone, in any variation."""
    return int(hashlib.sha256(f"scorer {row['emoji']} {row['set']}".encode()).hexdigest(), 16) % HELD_OUT == 0


def read_facts(root: Path, data: CaptionedImages) -> list[dict[str, Any]]:
    """What the data set says of each picture (kind, emoji or objects, style), in the order of `data`."""
    rows = json.loads((root / "annotations/captions_train2017.json").read_text())["images"]
    by_id = {str(row["id"]): row for row in rows}
    return [by_id[image.id] for image in data.images]


if __name__ == "__main__":
    main()
