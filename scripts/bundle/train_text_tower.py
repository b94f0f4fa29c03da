"""Train the bundled model's vocabulary and text tower: captions against pictures, contrastively (Radford et al. 2021, sec. 2.3).

    python scripts/bundle/train_text_tower.py --data DIR -o RUN [--minutes 8]

Writes RUN/tokenizer and RUN/text_encoder in the layout of a diffusers folder. The picture tower is thrown away: the
text tower is frozen afterwards and conditions the U-Net. Captions that name no style match a concept's pictures in all of
its styles equally; captions that name one match that picture only.
"""

import argparse
import json
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.data.cache import Entry, decoded_pictures, to_unit_range
from ldmcli.data.coco import load_captioned
from ldmcli.models.saving import save_component, write_json
from ldmcli.models.tokenizer import END, START, load_tokenizer
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig

LENGTH = 32
WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+")


def train_vocabulary(captions: list[str], merges_wanted: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE vocabulary laid out as CLIP's: bytes, bytes that end a word, merges, start, end (whose id is the highest)."""
    trainer = trainers.BpeTrainer(
        vocab_size=merges_wanted + 512,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = [word for caption in captions for word in WORD.findall(caption.lower())]
    tokenizer.train_from_iterator(words, trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *dict.fromkeys(a + b for a, b in merges), START, END]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}, merges


def save_vocabulary(folder: Path, vocab: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """The files that CLIPTokenizer reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", {**special, "model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer"})


class PictureTower(nn.Sequential):
    """(B, 3, 32, 32) -> (B, width)."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        before = 3
        for channels in (32, 64, 128, 256):
            layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1), nn.GroupNorm(8, channels), nn.SiLU()]
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(8, channels), nn.SiLU()]
            before = channels
        super().__init__(*layers, nn.Flatten(), nn.Linear(4 * before, width))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--minutes", type=float, default=8, help="stop after so many minutes")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--merges", type=int, default=2500)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--concepts", type=int, default=85, help="concepts per batch, each in up to three styles")
    args = parser.parse_args()

    data = load_captioned(args.data)
    rows = json.loads((args.data / "annotations/captions_train2017.json").read_text())["images"]
    facts = {str(row["id"]): row for row in rows}
    pixels = next(e for e in decoded_pictures(data, 64, args.cache or args.output / "cache") if isinstance(e, Entry)).arrays["pixels"]
    small = F.avg_pool2d(to_unit_range(pixels), 2)
    captions = [image.captions for image in data.images]
    vocab, merges = train_vocabulary([c for group in captions for c in group], args.merges)
    save_vocabulary(args.output / "tokenizer", vocab, merges)
    tokenizer = load_tokenizer(args.output / "tokenizer", LENGTH)
    tokens = {caption: tokenizer.encode(caption) for group in captions for caption in group}
    print(f"{len(vocab)} tokens; longest caption {max(t.length for t in tokens.values())} tokens", flush=True)

    concepts: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(data.images):
        concepts[facts[image.id]["emoji"]].append(number)

    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=args.width, intermediate_size=4 * args.width, num_hidden_layers=args.layers,
        num_attention_heads=args.width // 64, max_position_embeddings=LENGTH, eos_token_id=vocab[END],
    )  # fmt: skip
    text, picture = CLIPText(config), PictureTower(args.width)
    for table in (text.embeddings.token_embedding, text.embeddings.position_embedding):
        nn.init.normal_(table.weight, std=0.02)
    scale = nn.Parameter(torch.tensor(2.6))
    optimizer = torch.optim.AdamW([*text.parameters(), *picture.parameters(), scale], lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98))
    rng, names, started = random.Random(0), sorted(concepts), time.monotonic()
    for step in range(args.steps):
        progress = max(step / args.steps, (time.monotonic() - started) / 60 / args.minutes)
        if progress >= 1:
            break
        optimizer.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 100, 1) * (1 - progress)
        chosen = [number for name in rng.sample(names, args.concepts) for number in concepts[name]]
        texts = [rng.choice(captions[number]) for number in chosen]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            encoded = [tokens[t] for t in texts]
            longest = max(e.length for e in encoded)  # causal: what follows the end token cannot matter here
            ids = torch.stack([e.ids[:longest] for e in encoded])
            t = F.normalize(text.pooled(text(ids), ids).float(), dim=-1)
            p = F.normalize(picture(augmented(small[chosen], rng)).float(), dim=-1)
        match = matches(texts, [facts[data.images[n].id] for n in chosen])
        logits = scale.exp() * t @ p.T
        loss = soft_cross_entropy(logits, match) + soft_cross_entropy(logits.T, match.T)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            hit = match[torch.arange(len(chosen)), logits.argmax(dim=1)].mean().item()
            print(f"step {step} loss {loss.item():.3f} in-batch accuracy {hit:.2f} of {len(chosen)}", flush=True)
    save_component(args.output, "text_encoder", config, text.state_dict())
    print(f"saved {args.output} after {step + 1} steps, {time.monotonic() - started:.0f} s")


def augmented(pictures: Tensor, rng: random.Random) -> Tensor:
    """Shift by up to three pixels (white comes in) so that the throw-away tower does not learn pictures by their pixels."""
    dx, dy = rng.randint(0, 6), rng.randint(0, 6)
    return F.pad(pictures, (3, 3, 3, 3), value=1.0)[:, :, dy : dy + 32, dx : dx + 32]


def matches(texts: list[str], rows: list[dict[str, str]]) -> Tensor:
    """(texts, pictures), 1 where a caption is true of a picture; rows: the facts of each picture, in the order of the texts."""
    styles = sorted({row["style"] for row in rows})
    concept = {name: number for number, name in enumerate({row["emoji"] for row in rows})}
    concepts = torch.tensor([concept[row["emoji"]] for row in rows])
    shown = torch.tensor([styles.index(row["style"]) for row in rows])
    named = torch.tensor([next((i for i, style in enumerate(styles) if style in text), -1) for text in texts])
    agree = (named[:, None] == -1) | (named[:, None] == shown[None, :])
    return ((concepts[:, None] == concepts[None, :]) & agree).float()


def soft_cross_entropy(logits: Tensor, match: Tensor) -> Tensor:
    """Cross-entropy against a uniform distribution over the matches; rows without one do not count."""
    wanted = match / match.sum(dim=1, keepdim=True).clamp(min=1)
    return -(wanted * logits.log_softmax(dim=1)).sum(dim=1).sum() / (match.sum(dim=1) > 0).sum()


if __name__ == "__main__":
    main()
