"""Train the bundled model's vocabulary and text tower, so that a state says in a straight line what the picture is.

    python scripts/bundle/train_text_tower.py --data DIR --vae FOLDER --dictionary FILE --packages NODE_MODULES -o RUN [--steps 1500]

Writes RUN/tokenizer and RUN/text_encoder in the layout of a diffusers folder. From the state at the end token, and at the pads after
it, linear maps must tell what text_tasks.py asks; from the last pads, a sketch of the picture in every style (sketch.py); from the state
where a thing's name ends, what it is and how it looks. A tower trained against a picture tower by contrast alone finds the pictures too,
but its states filled 12 of 192 dimensions (participation ratio), and a U-Net learned slowly from them; see the model card. Half of the
captions say a word of the dictionary for the thing that it is nearest to. The maps are thrown away; the tower is frozen and conditions
the U-Net.
"""

import argparse
import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
from caption_batches import CaptionBatches
from picture_latents import kept_latents
from resume_point import ResumePoint, add_options, go_on, keep
from sketch import cells_of
from text_states import pads_to_ask, states_of
from text_tasks import Readers, class_counts
from torch import Tensor, nn
from vocabulary import LENGTH, save_vocabulary, train_vocabulary

from ldmcli.models.saving import save_component
from ldmcli.models.tokenizer import END, Tokens, load_tokenizer
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig
from ldmcli.runtime.memory import keep_freed_memory
from ldmcli.training.muon import Muon

WEIGHTS = {"look": 8.0, "sketch": 300.0, "cell": 4.0, "first": 1.0, "second": 1.0, "thing": 1.0, "thing look": 8.0}
"""Of the readers' losses; the others weigh 0.5. The sketch is most of what there is to be learned, and last to be learned: with 24 it
never was."""
PEAK, WARMUP = 1e-2, 0.1
"""Learning rate after the warm-up, and its share of the steps."""
Encoding = Callable[[str], Tokens]
"""A tokenizer that keeps what it has cut once."""


def new_tower(vocab: dict[str, int], width: int, layers: int) -> CLIPText:
    config = CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, max_position_embeddings=LENGTH, eos_token_id=vocab[END],
    )  # fmt: skip
    text = CLIPText(config)
    for table in (text.embeddings.token_embedding, text.embeddings.position_embedding):
        nn.init.normal_(table.weight, std=0.02)
    return text


def step_loss(text: CLIPText, readers: Readers, encoded: Encoding, drawn: CaptionBatches, size: int, words: int) -> dict[str, Tensor]:
    batch = drawn.batch(size, words)
    said = [encoded(one) for one in batch.texts]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states, last = states_of(text, said, drawn.rng)
    every, lengths = torch.arange(len(said)), torch.tensor([one.length for one in said])
    at_end, at_pad = states[every, lengths - 1], states[every, pads_to_ask(lengths, last, drawn.rng)]
    sketch, cell = readers.sketch.loss(states, last, lengths, cells_of(batch.latents), batch.shown)
    losses = {"sketch": sketch, "cell": cell}
    for where in (at_end, at_pad):
        for name, value in readers.loss(where, batch.facts, batch.looks).items():
            losses[name] = losses.get(name, 0) + value / 2
    rows = torch.tensor([row for row, _, _ in batch.names])
    ends = torch.tensor([encoded(text).length - 2 for _, text, _ in batch.names])
    things = torch.tensor([thing for _, _, thing in batch.names])
    losses |= readers.named(states[rows, ends], things, batch.name_looks)
    total = sum(WEIGHTS.get(name, 0.5) * value for name, value in losses.items())
    return {"loss": total, **losses, "dimensions": participation_ratio(at_end.detach()[:size])}


def participation_ratio(states: Tensor) -> Tensor:
    """How many dimensions (B, width) states fill: (sum of the covariance's eigenvalues) ** 2 / sum of their squares."""
    centre_latents = states - states.mean(0)
    covariance = centre_latents.T @ centre_latents
    return covariance.trace().square() / covariance.square().sum()


def new_vocabulary(drawn: CaptionBatches, folder: Path, merges: int) -> dict[str, int]:
    """Written once; a second call reads it."""
    if not (folder / "vocab.json").is_file():
        save_vocabulary(folder, *train_vocabulary(drawn.texts(), merges))
    return dict(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="whose latents the sketch is to tell")
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True, help="node_modules, as build_dataset.py fetched it")
    parser.add_argument("-o", "--output", type=Path, required=True)
    add_options(parser, steps=1500)
    parser.add_argument("--merges", type=int, default=4300)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=256, help="captions of the data set per step")
    parser.add_argument("--words", type=int, default=256, help="captions with a word of the dictionary per step")
    args = parser.parse_args()

    keep_freed_memory(for_training=True)
    point = ResumePoint(args.output, args.max_minutes)
    encoded_files = functools.partial(kept_latents, vae=args.vae, kept=args.output / "latents.safetensors")
    drawn = CaptionBatches(args.data, args.dictionary, args.packages, encoded_files)
    vocab = new_vocabulary(drawn, args.output / "tokenizer", args.merges)
    encoded = functools.cache(load_tokenizer(args.output / "tokenizer", LENGTH).encode)
    count = sum(map(len, drawn.dictionary.nouns.values()))
    print(f"{len(vocab)} tokens, {count} words beyond the captions", flush=True)
    torch.manual_seed(0)
    text = new_tower(vocab, args.width, args.layers)
    readers = Readers(args.width, class_counts(drawn.codes), cells_of(drawn.latents[:1]).shape[-1])
    tables = [text.embeddings.token_embedding.weight, text.embeddings.position_embedding.weight, *readers.parameters()]
    every = [*text.parameters(), *readers.parameters()]
    optimizer = Muon(every, tables, lr=PEAK, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    learning = {"text": text, "readers": readers, "optimizer": optimizer}
    for step in range(go_on(point, learning, drawn.rng), args.steps):
        optimizer.param_groups[0]["lr"] = PEAK * min((step + 1) / (WARMUP * args.steps), 1) * (1 - step / args.steps)
        losses = step_loss(text, readers, encoded, drawn, args.batch_size, args.words)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} " + " ".join(f"{name} {value.item():.3f}" for name, value in losses.items()), flush=True)
        if point.is_due():
            keep(point, step + 1, learning, drawn.rng)
    save_component(args.output, "text_encoder", text.config, text.state_dict())
    print(f"saved {args.output} after {args.steps} steps")


if __name__ == "__main__":
    main()
