"""Train the bundled model's vocabulary and text tower, so that a state says in a straight line what the picture is.

    python scripts/bundle/train_text_tower.py --data DIR --vae RUN -o RUN [--minutes 10]

Writes RUN/tokenizer and RUN/text_encoder in the layout of a diffusers folder. From the state at the end token, and at the pads after
it, two linear maps must tell the picture (cross-entropy over all pictures) and its latents (mean squared error). A tower trained
against a picture tower by contrast alone finds the pictures too, but its states filled 12 of 192 dimensions (participation ratio),
and a U-Net learned slowly from them; see the model card. The linear maps are thrown away; the tower is frozen and conditions the U-Net.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.data.cache import Entry, decoded_pictures, to_unit_range
from ldmcli.data.layouts import load_captioned
from ldmcli.engine.session import make_codec
from ldmcli.models.loading import load_vae
from ldmcli.models.saving import save_component, write_json
from ldmcli.models.source import find_component
from ldmcli.models.tokenizer import END, START, Tokens, load_tokenizer
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig
from ldmcli.networks.vae import VAE

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


class Decoder(nn.Module):
    """What a text state must tell by a linear map alone: which picture is meant, and what its latents are. Thrown away afterwards."""

    def __init__(self, width: int, pictures: int, latents: int) -> None:
        super().__init__()
        self.picture, self.latents = nn.Linear(width, pictures), nn.Linear(width, latents)

    def loss(self, states: Tensor, wanted: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """states: (B, width); wanted: (B,) picture numbers; latents: (B, n). Returns cross-entropy and mean squared error."""
        return F.cross_entropy(self.picture(states), wanted), F.mse_loss(self.latents(states), latents)


@torch.no_grad()
def whitened_latents(pixels: Tensor, vae: VAE, power: float) -> Tensor:
    """(N, 3, 64, 64) uint8 -> (N, n) principal components of the latent means, scaled by variance ** -power, in all of unit variance."""
    codec = make_codec(vae)
    means = torch.cat([codec.encode(to_unit_range(part))[0] for part in pixels.split(64)]).flatten(1)
    means = means - means.mean(0)
    _, sizes, directions = torch.linalg.svd(means, full_matrices=False)
    parts = means @ directions.T * (sizes + 1e-3 * sizes[0]) ** (-2 * power)
    return parts / parts.std()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--vae", default="bundled", help="whose latents: a train-vae run")
    parser.add_argument("--minutes", type=float, default=10, help="stop after so many minutes")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--merges", type=int, default=2500)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=256, help="captions per step")
    parser.add_argument("--latent-weight", type=float, default=4.0, help="of the mean squared error beside the cross-entropy")
    args = parser.parse_args()

    data = load_captioned(args.data)
    pixels = next(e for e in decoded_pictures(data, 64, args.cache or args.output / "cache") if isinstance(e, Entry)).arrays["pixels"]
    latents = whitened_latents(pixels, load_vae(find_component(args.vae, "vae")), power=0.25)
    captions = [image.captions for image in data.images]
    vocab, merges = train_vocabulary([c for group in captions for c in group], args.merges)
    save_vocabulary(args.output / "tokenizer", vocab, merges)
    tokenizer = load_tokenizer(args.output / "tokenizer", LENGTH)
    tokens = {caption: tokenizer.encode(caption) for group in captions for caption in group}
    print(f"{len(vocab)} tokens; longest caption {max(t.length for t in tokens.values())} tokens", flush=True)

    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=args.width, intermediate_size=4 * args.width, num_hidden_layers=args.layers,
        num_attention_heads=args.width // 64, max_position_embeddings=LENGTH, eos_token_id=vocab[END],
    )  # fmt: skip
    text, decoder = CLIPText(config), Decoder(args.width, len(captions), latents.shape[1])
    for table in (text.embeddings.token_embedding, text.embeddings.position_embedding):
        nn.init.normal_(table.weight, std=0.02)
    optimizer = torch.optim.AdamW([*text.parameters(), *decoder.parameters()], lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    started, batches = time.monotonic(), batches_of(captions, tokens, args.batch_size)
    for step in range(args.steps):
        progress = max(step / args.steps, (time.monotonic() - started) / 60 / args.minutes)
        if progress >= 1:
            break
        optimizer.param_groups[0]["lr"] = 2e-3 * min((step + 1) / 100, 1) * (1 - progress)
        chosen, encoded = next(batches)
        length = min(max(e.length for e in encoded) + 2, LENGTH)  # two pads at least
        ids = torch.stack([e.ids[:length] for e in encoded])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = text(ids)
        at_end = states[torch.arange(len(ids)), torch.tensor([e.length - 1 for e in encoded])].float()
        at_pad = states[:, -1].float()
        (named, near), (named_too, near_too) = (decoder.loss(state, chosen, latents[chosen]) for state in (at_end, at_pad))
        loss = named + named_too + args.latent_weight * (near + near_too)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            spread = participation_ratio(at_end.detach())
            print(f"step {step} cross-entropy {named.item():.3f} latents {near.item():.3f} dimensions {spread:.0f}", flush=True)
    save_component(args.output, "text_encoder", config, text.state_dict())
    print(f"saved {args.output} after {step + 1} steps, {time.monotonic() - started:.0f} s")


def batches_of(captions: list[list[str]], tokens: dict[str, Tokens], size: int) -> Iterator[tuple[Tensor, list[Tokens]]]:
    """Picture numbers (size,) and a random caption of each, for ever; like lengths together, so that few pads are computed."""
    rng, together = random.Random(0), 8
    while True:
        drawn = [(number, tokens[rng.choice(captions[number])]) for number in rng.choices(range(len(captions)), k=size * together)]
        drawn.sort(key=lambda pair: pair[1].length)
        for first in rng.sample(range(0, size * together, size), together):
            part = drawn[first : first + size]
            yield torch.tensor([number for number, _ in part]), [encoded for _, encoded in part]


def participation_ratio(states: Tensor) -> float:
    """How many dimensions (B, width) states fill: (sum of the covariance's eigenvalues) ** 2 / sum of their squares."""
    values = torch.linalg.svdvals(states - states.mean(0)).square()
    return (values.sum().square() / values.square().sum()).item()


if __name__ == "__main__":
    main()
