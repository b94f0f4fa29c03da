"""Teach a trained text tower the words of the dictionary and change little of what it says of the data set's captions.

    python scripts/bundle/teach_words.py --data DIR --dictionary FILE --packages NODE_MODULES --text RUN -o RUN [--steps 1800]

A frozen copy is the teacher. A caption of the data set must keep all its states; a caption with a word that the data set does not hold must
get the states of the same caption with the nearest known phrase: at the end and at every pad, and the word's pieces those of the phrase's
last. Where the word ends, and at the end, its state must moreover be nearer to that of the right thing than to those of all others:
squared distances alone are least for a state in between, which is no thing at all. So must its sketch (sketch.py), read by the map that
the tower was trained with: states that were near enough to say what 73 words of a hundred mean had a right sketch of nine. The
captions' states still move a little (a U-Net that was trained on the old tower soiled its pictures until it had seen the new ones for a few
thousand steps), so words are taught before the U-Net is trained.

A word is remembered after some hundred times, so most steps hold words alone, without a frame. It ends with how many words
of synonyms.json, which the dictionary was not made for, are nearest to a right thing.
"""

import argparse
import math
import shutil
from pathlib import Path

import torch
from caption_batches import CaptionBatches
from lists import read_synonyms
from resume_point import ResumePoint, add_options, go_on, keep
from sketch import load_reader
from text_states import FIRST_OF_SKETCH
from torch import Tensor
from torch.nn import functional as F
from vocabulary import LENGTH
from word_losses import nearest_loss, span_of, word_loss

from ldmcli.models.loading import load_text_encoder
from ldmcli.models.saving import save_component
from ldmcli.models.tokenizer import Tokens, load_tokenizer
from ldmcli.networks.clip_text import CLIPText
from ldmcli.runtime.memory import keep_freed_memory
from ldmcli.training.muon import Muon

PEAK = 3e-3
BARE, SHORT = 0.8, 0.25
"""Of the steps, those of words without a frame; those that are cut behind the second pad: the others keep and teach the sketch too."""
KEEP_WEIGHT, WORD_WEIGHT, NAME_WEIGHT, SKETCH_WEIGHT = 40.0, 3.0, 0.3, 100.0
"""Of the data set's captions, of equal states, of the nearest thing, of equal sketches. With 6 for the first the sketches of things
suffered."""


class Teacher:
    """The tower before it is taught, frozen, and where it puts the things."""

    def __init__(self, folder: Path, phrases: dict[str, list[str]]) -> None:
        """phrases: of every noun, the main one first."""
        self.text, self.tokenizer = load_text_encoder(folder).eval().requires_grad_(False), load_tokenizer(folder / "tokenizer", LENGTH)
        self.rows = {noun: row for row, noun in enumerate(phrases)}
        said = self.encoded([names[0] for names in phrases.values()])
        states = torch.cat([self.text(ids_of(said[i : i + 128], [], False)) for i in range(0, len(said), 128)]).float()
        every = range(len(said))
        self.reader = load_reader(folder).requires_grad_(False)
        self.sketches = self.sketch_of(states)
        """(K, values) of all cells."""
        self.names, self.ends = states[every, [t.length - 2 for t in said]], states[every, [t.length - 1 for t in said]]
        """(K, D) each: where the name ends, and at the end token after it."""

    def sketch_of(self, states: Tensor) -> Tensor:
        """(B, LENGTH, D) to (B, values), of every cell in every style."""
        told: Tensor = self.reader.map(states[:, FIRST_OF_SKETCH:])
        return told.flatten(1)

    def encoded(self, texts: list[str]) -> list[Tokens]:
        return [self.tokenizer.encode(text) for text in texts]


def ids_of(texts: list[Tokens], others: list[Tokens], is_short: bool) -> Tensor:
    """(B, LENGTH) ids, or those up to two pads after the longest text of both."""
    length = min(max(tokens.length for tokens in texts + others) + 2, LENGTH) if is_short else LENGTH
    return torch.stack([tokens.ids[:length] for tokens in texts])


def step_losses(text: CLIPText, teacher: Teacher, drawn: CaptionBatches, captions: int, words: int) -> dict[str, Tensor]:
    """Of so many captions of the data set and so many words, drawn here."""
    is_bare = drawn.rng.random() < BARE
    is_short = drawn.rng.random() < SHORT
    kept = teacher.encoded(drawn.some(captions))
    pairs = [drawn.dictionary.pair(drawn.rng, is_bare) for _ in range(words)]
    strange, known = (teacher.encoded([pair[i] for pair in pairs]) for i in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        says, said = text(ids_of(kept, kept, is_short)).float(), text(ids_of(strange, known, is_short)).float()
        with torch.no_grad():
            wanted, meant = teacher.text(ids_of(kept, kept, is_short)).float(), teacher.text(ids_of(known, strange, is_short)).float()
    right = torch.tensor([teacher.rows[noun] for _, _, noun in pairs])
    word_ends = [span_of(word, phrase)[1] - 1 for word, phrase in zip(strange, known, strict=True)]
    named = nearest_loss(said[range(words), word_ends], teacher.names, right)
    if is_bare:  # elsewhere the end tells of the frame too
        named = named + nearest_loss(said[range(words), [word.length - 1 for word in strange]], teacher.ends, right)
    sketch = said.new_zeros(())
    if not is_short:
        told = teacher.sketch_of(said)
        sketch = F.mse_loss(torch.cat([told, teacher.sketch_of(says)]), teacher.sketch_of(torch.cat([meant, wanted])))
        if is_bare:
            named = named + nearest_loss(told, teacher.sketches, right)
    losses = {"kept": F.mse_loss(says, wanted), "words": word_loss(said, meant, strange, known), "named": named, "sketch": sketch}
    weights = {"kept": KEEP_WEIGHT, "words": WORD_WEIGHT, "named": NAME_WEIGHT, "sketch": SKETCH_WEIGHT}
    return {"loss": sum((weights[name] * value for name, value in losses.items()), said.new_zeros(())), **losses}


@torch.no_grad()
def share_understood(text: CLIPText, teacher: Teacher, drawn: CaptionBatches) -> float:
    """Of the words of synonyms.json, those whose state where the word ends is nearest to a thing that it means."""
    rows = read_synonyms()
    said = teacher.encoded([row["prompt"] for row in rows])
    states = text(ids_of(said, said, False))[range(len(said)), [tokens.length - 2 for tokens in said]].float()
    nouns = list(teacher.rows)
    nearest = [nouns[row] for row in torch.cdist(states, teacher.names).argmin(dim=1).tolist()]
    codes = list(drawn.codes)
    meant = [{codes[number] for number in drawn.meant.get(noun, ())} for noun in nearest]
    return sum(bool(found & set(row["emoji"])) for found, row in zip(meant, rows, strict=True)) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="the tower of train_text_tower.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--lr", type=float, default=PEAK)
    add_options(parser, steps=1800)
    parser.add_argument("--captions", type=int, default=64, help="captions of the data set per step")
    parser.add_argument("--words", type=int, default=480, help="words of the dictionary per step")
    args = parser.parse_args()

    keep_freed_memory(for_training=True)
    point = ResumePoint(args.output, args.max_minutes)
    drawn = CaptionBatches(args.data, args.dictionary, args.packages)
    teacher, text = Teacher(args.text, drawn.dictionary.phrases), load_text_encoder(args.text).train().requires_grad_(True)
    tables = (text.embeddings.token_embedding.weight, text.embeddings.position_embedding.weight)
    optimizer = Muon(text.parameters(), tables, lr=args.lr, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
    learning = {"text": text, "optimizer": optimizer}
    for step in range(go_on(point, learning, drawn.rng), args.steps):
        optimizer.param_groups[0]["lr"] = args.lr * min((step + 1) / 50, 1) * (1 + math.cos(math.pi * step / args.steps)) / 2
        losses = step_losses(text, teacher, drawn, args.captions, args.words)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} " + " ".join(f"{name} {value.item():.4f}" for name, value in losses.items()), flush=True)
        if point.is_due():
            keep(point, step + 1, learning, drawn.rng)
    shutil.copytree(args.text / "tokenizer", args.output / "tokenizer", dirs_exist_ok=True)
    save_component(args.output, "text_encoder", text.config, text.state_dict())
    print(f"saved {args.output} after {args.steps} steps; words of synonyms.json understood: {share_understood(text, teacher, drawn):.0%}")


if __name__ == "__main__":
    main()
