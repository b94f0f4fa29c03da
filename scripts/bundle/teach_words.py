"""Teach a trained text tower the words of the dictionary and change little of what it says of the data set's captions.

    python scripts/bundle/teach_words.py --data DIR --dictionary FILE --packages NODE_MODULES --text RUN -o RUN [--steps 3000]

A frozen copy is the teacher. A caption of the data set must keep all its states; a caption with a word that the data set does not hold must
get the states of the same caption with the nearest known phrase: at the end and at every pad, and the word's pieces those of the phrase's
last. Where the word ends, its state must moreover be nearer to that of the right thing than to those of all others: squared distances alone
are least for a state in between, which is no thing at all. The captions' states still move a little (a U-Net that was trained on the old
tower soiled its pictures until it had seen the new ones for a few thousand steps), so words are taught before the U-Net is trained.
"""

import argparse
import math
import shutil
from pathlib import Path

import torch
from caption_batches import CaptionBatches
from resume_point import ResumePoint, add_options, go_on, keep
from torch import Tensor
from torch.nn import functional as F
from vocabulary import LENGTH

from ldmcli.models.loading import load_text_encoder
from ldmcli.models.saving import save_component
from ldmcli.models.tokenizer import ClipTokenizer, Tokens, load_tokenizer
from ldmcli.networks.clip_text import CLIPText

PEAK = 1e-3
KEEP_WEIGHT = 10.0
"""Of the data set's captions beside the words."""
NAME_WEIGHT = 0.3
"""Of the nearest thing where the word ends."""
NEARNESS = 12.0
"""Difference of squared distances (192 numbers of variance 1) that makes one thing e times as likely as another."""


def span_of(word: Tokens, known: Tokens) -> tuple[int, int]:
    """First position of the word's pieces and the one after the last: where its caption differs from the one with the known phrase."""
    a, b = word.ids[: word.length].tolist(), known.ids[: known.length].tolist()
    before = next(i for i in range(len(a)) if i >= len(b) or a[i] != b[i]) if a != b else len(a)
    after = 0
    while after < min(len(a), len(b)) - before and a[-1 - after] == b[-1 - after]:
        after += 1
    return before, len(a) - after


def matches(word: Tokens, known: Tokens) -> tuple[list[int], list[int]]:
    """Positions of the first whose states must be those at positions of the second; both (LENGTH,) ids that differ in one span."""
    first, end = span_of(word, known)
    known_end = known.length - (word.length - end)
    pads = range(max(word.length, known.length), LENGTH)
    mine = [*range(first, word.length), *pads]
    theirs = [max(known_end - 1, 0)] * (end - first) + [*range(known_end, known.length), *pads]
    return mine, theirs


def word_loss(states: Tensor, wanted: Tensor, words: list[Tokens], known: list[Tokens]) -> Tensor:
    """Mean squared distance between matching states. states, wanted: (B, LENGTH, D)."""
    rows, mine, theirs = [], [], []
    for row, (word, phrase) in enumerate(zip(words, known, strict=True)):
        here, there = matches(word, phrase)
        rows += [row] * len(here)
        mine += here
        theirs += there
    return F.mse_loss(states[rows, mine], wanted[rows, theirs])


def nearest_loss(states: Tensor, phrases: Tensor, words: list[Tokens], known: list[Tokens], right: Tensor) -> Tensor:
    """Cross-entropy of the right phrase, (B,) rows of `phrases`, by squared distance. states: (B, LENGTH, D); phrases: (K, D)."""
    last = [span_of(word, phrase)[1] - 1 for word, phrase in zip(words, known, strict=True)]
    away = torch.cdist(states[range(len(words)), last], phrases).square()
    return F.cross_entropy(-away / NEARNESS, right)


def states_of(text: CLIPText, tokens: list[Tokens]) -> Tensor:
    """Of the last token before the end: (N, D)."""
    with torch.no_grad():
        parts = [text(torch.stack([t.ids for t in tokens[i : i + 128]])) for i in range(0, len(tokens), 128)]
    return torch.cat(parts)[range(len(tokens)), [t.length - 2 for t in tokens]].float()


def encoded(tokenizer: ClipTokenizer, texts: list[str]) -> list[Tokens]:
    return [tokenizer.encode(text) for text in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="the tower of train_text_tower.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--lr", type=float, default=PEAK)
    add_options(parser, steps=3000)
    parser.add_argument("--captions", type=int, default=48, help="captions of the data set per step")
    parser.add_argument("--words", type=int, default=160, help="words of the dictionary per step")
    args = parser.parse_args()

    point = ResumePoint(args.output, args.max_minutes)
    drawn, tokenizer = CaptionBatches(args.data, args.dictionary, args.packages), load_tokenizer(args.text / "tokenizer", LENGTH)
    teacher = load_text_encoder(args.text).eval().requires_grad_(False)
    text = load_text_encoder(args.text).train().requires_grad_(True)
    nouns = {noun: row for row, noun in enumerate(drawn.dictionary.phrases)}
    phrases = states_of(teacher, encoded(tokenizer, [said[0] for said in drawn.dictionary.phrases.values()]))
    optimizer = torch.optim.AdamW(text.parameters(), lr=args.lr, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
    learning_parts = {"text": text, "optimizer": optimizer}
    for step in range(go_on(point, learning_parts, drawn.rng), args.steps):
        optimizer.param_groups[0]["lr"] = args.lr * min((step + 1) / 50, 1) * (1 + math.cos(math.pi * step / args.steps)) / 2
        kept = encoded(tokenizer, drawn.some(args.captions))
        pairs = [drawn.dictionary.pair(drawn.rng) for _ in range(args.words)]
        words, known = (encoded(tokenizer, [pair[i] for pair in pairs]) for i in (0, 1))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                wanted = teacher(torch.stack([t.ids for t in kept + known])).float()
            states = text(torch.stack([t.ids for t in kept + words])).float()
        keeping = F.mse_loss(states[: len(kept)], wanted[: len(kept)])
        said, meant = states[len(kept) :], wanted[len(kept) :]
        learning = word_loss(said, meant, words, known)
        right = torch.tensor([nouns[noun] for _, _, noun in pairs])
        naming = nearest_loss(said, phrases, words, known, right)
        optimizer.zero_grad()
        (KEEP_WEIGHT * keeping + learning + NAME_WEIGHT * naming).backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} kept {keeping.item():.4f} words {learning.item():.4f} named {naming.item():.3f}", flush=True)
        if point.is_due():
            keep(point, step + 1, learning_parts, drawn.rng)
    shutil.copytree(args.text / "tokenizer", args.output / "tokenizer", dirs_exist_ok=True)
    save_component(args.output, "text_encoder", text.config, text.state_dict())
    print(f"saved {args.output} after {args.steps} steps")


if __name__ == "__main__":
    main()
