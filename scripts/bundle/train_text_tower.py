"""Train the bundled model's vocabulary and text tower, so that a state says in a straight line what the picture is.

    python scripts/bundle/train_text_tower.py --data DIR --dictionary FILE -o RUN [--minutes 12]

Writes RUN/tokenizer and RUN/text_encoder in the layout of a diffusers folder. From the state at the end token, and at the pads after
it, linear maps must tell what text_tasks.py asks; from the state where a thing's name ends, what it is and how it looks. A tower trained against a picture tower by contrast alone finds the pictures too, but
its states filled 12 of 192 dimensions (participation ratio), and a U-Net learned slowly from them; see the model card. A word of the
dictionary must give the states of the thing that it is nearest to. The maps are thrown away; the tower is frozen and conditions the U-Net.
"""

import argparse
import json
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import captions
import torch
from composition import plural
from dictionary import kept_emoji, nouns_and_phrases
from text_tasks import Dictionary, Readers, by_noun, class_counts, facts_of, looks_of
from torch import Tensor, nn
from torch.nn import functional as F
from vocabulary import LENGTH, save_vocabulary, train_vocabulary

from ldmcli.models.loading import load_text_encoder
from ldmcli.models.saving import save_component
from ldmcli.models.tokenizer import END, ClipTokenizer, load_tokenizer
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig

WEIGHTS = {"look": 4.0, "first": 1.0, "second": 1.0, "thing": 1.0, "thing look": 4.0}
"""Of the readers' losses; the others weigh 0.5."""
SETTLING = 200
"""Steps in which only the new maps learn, when a trained tower goes on: from random maps it would hear nonsense, and forget."""
SAME_WEIGHT = 2.0
"""Of the squared distance between the states of a word and of the thing that it is nearest to."""
MOODS = "cute funny nice beautiful old new happy sad spooky scary pretty lovely shiny cool fluffy friendly silly my the some".split()


@dataclass(frozen=True, slots=True)
class Batch:
    """Captions and what must be told of them. names: see CaptionBatches._names_in; name_looks: (len(names), LOOK_SIZE)."""

    texts: list[str]
    facts: dict[str, Tensor]
    looks: Tensor
    names: list[tuple[int, str, int]]
    name_looks: Tensor


class CaptionBatches:
    """Draws batches: pictures of the data set with one of their captions each, then pairs from the dictionary."""

    def __init__(self, data: Path, dictionary: Path, packages: Path) -> None:
        notes = json.loads((data / "annotations/captions_train2017.json").read_text())
        self.images = notes["images"]
        self.said: dict[int, list[str]] = {image["id"]: [] for image in self.images}
        for row in notes["annotations"]:
            self.said[row["image_id"]].append(row["caption"])
        singles = [image for image in self.images if image["kind"] == "single"]
        self.codes = {code: number for number, code in enumerate(dict.fromkeys(image["emoji"] for image in singles))}
        facts = [facts_of(image, self.codes) for image in self.images]
        self.facts = {name: torch.tensor([row[name] for row in facts]) for name in facts[0]}
        self.looks = looks_of(data / "train2017", [image["file_name"] for image in self.images])
        kept = list(kept_emoji(packages))
        phrases, everyday = nouns_and_phrases(packages), captions.everyday_words(kept)
        said = {e.code: [captions.without_article(phrase) for phrase in captions.phrases_of(e, everyday)] for e in kept}
        self.names = {code: sorted({*names, *map(plural, names)}, key=len, reverse=True) for code, names in said.items()}
        nouns = {code: names[0] for code, names in said.items()}
        first_rows = {image["emoji"]: row for row, image in reversed(list(enumerate(self.images))) if image["kind"] == "single"}
        self.alone = torch.tensor([first_rows[code] for code in self.codes])
        self.meant = by_noun(phrases, nouns, self.codes)
        words = json.loads(dictionary.read_text())
        by_thing: dict[str, list[str]] = {}
        for word, noun in words["nouns"].items():
            if noun in self.meant:
                by_thing.setdefault(noun, []).append(word)
        verbs = [(word, noun) for word, noun in words["verbs"].items() if noun in self.meant]
        self.dictionary = Dictionary(by_thing, verbs, phrases)
        self.rng = random.Random(0)

    def texts(self) -> list[str]:
        """For the vocabulary: every caption, and the dictionary's words once."""
        words = [word for words in self.dictionary.nouns.values() for word in words] + [word for word, _ in self.dictionary.verbs]
        return [text for said in self.said.values() for text in said] + words

    def some(self, size: int) -> list[str]:
        """Of the data set, each picture equally often."""
        return [self._in_a_mood(self.rng.choice(self.said[image["id"]])) for image in self.rng.choices(self.images, k=size)]

    def batch(self, size: int, pairs: int) -> "Batch":
        """size + 2 pairs captions: the data set's, then words, then the known phrases. Facts of words ask only for the thing."""
        rows = self.rng.choices(range(len(self.images)), k=size)
        texts = [self._in_a_mood(self.rng.choice(self.said[self.images[row]["id"]])) for row in rows]
        drawn = [self.dictionary.pair(self.rng) for _ in range(pairs)]
        meant = torch.tensor([self.rng.choice(self.meant[noun]) for _, _, noun in drawn])
        facts = {name: torch.cat([values[rows], torch.full((2 * pairs,), -1)]) for name, values in self.facts.items()}
        facts["first"][size:] = meant.repeat(2)
        looks = torch.cat([self.looks[rows], self.looks.new_zeros(2 * pairs, self.looks.shape[1])])
        names = [named for row, text in enumerate(texts) for named in self._names_in(row, text, self.images[rows[row]])]
        texts += [word for word, _, _ in drawn] + [known for _, known, _ in drawn]
        return Batch(texts, facts, looks, names, self.looks[self.alone[[thing for _, _, thing in names]]])

    def _names_in(self, row: int, text: str, image: dict) -> Iterator[tuple[int, str, int]]:
        """(row, text up to the end of a thing's name, its class) of every thing that the text names."""
        for code in {one["emoji"] for one in image.get("objects") or [image]}:
            for name in self.names[code]:
                if found := re.search(rf"\b{re.escape(name)}\b", text):
                    yield row, text[: found.end()], self.codes[code]
                    break

    def _in_a_mood(self, text: str) -> str:
        """Now and then with an adjective that changes nothing, or without its article."""
        chance = self.rng.random()
        if chance < 0.08 and text.startswith(("a ", "an ")):
            return captions.with_article(f"{self.rng.choice(MOODS[:-3])} {captions.without_article(text)}")
        if chance < 0.11 and text.startswith(("a ", "an ")):
            return f"{self.rng.choice(MOODS[-3:])} {captions.without_article(text)}"
        return captions.without_article(text) if chance < 0.16 else text


def new_tower(vocab: dict[str, int], width: int, layers: int) -> CLIPText:
    config = CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, max_position_embeddings=LENGTH, eos_token_id=vocab[END],
    )  # fmt: skip
    text = CLIPText(config)
    for table in (text.embeddings.token_embedding, text.embeddings.position_embedding):
        nn.init.normal_(table.weight, std=0.02)
    return text


def step_loss(
    text: CLIPText, readers: Readers, tokenizer: ClipTokenizer, drawn: CaptionBatches, size: int, pairs: int
) -> dict[str, Tensor]:
    batch = drawn.batch(size, pairs)
    encoded = [tokenizer.encode(one) for one in batch.texts]
    length = min(max(e.length for e in encoded) + 2, LENGTH)  # two pads at least
    ids = torch.stack([e.ids[:length] for e in encoded])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = text(ids)
    at_end = states[torch.arange(len(ids)), torch.tensor([min(e.length, length) - 1 for e in encoded])].float()
    at_pad = states[:, -1].float()
    losses: dict[str, Tensor] = {}
    for where in (at_end, at_pad):
        for name, value in readers.loss(where, batch.facts, batch.looks).items():
            losses[name] = losses.get(name, 0) + value / 2
        losses["same"] = losses.get("same", 0) + F.mse_loss(where[size : size + pairs], where[size + pairs :].detach()) / 2
    rows = torch.tensor([row for row, _, _ in batch.names])
    ends = torch.tensor([min(tokenizer.encode(text).length, length) - 2 for _, text, _ in batch.names])
    things = torch.tensor([thing for _, _, thing in batch.names])
    losses |= readers.named(states[rows, ends].float(), things, batch.name_looks)
    total = sum(WEIGHTS.get(name, 0.5) * value for name, value in losses.items() if name != "same") + SAME_WEIGHT * losses["same"]
    return {"loss": total, **losses, "dimensions": participation_ratio(at_end.detach()[:size])}


def participation_ratio(states: Tensor) -> Tensor:
    """How many dimensions (B, width) states fill: (sum of the covariance's eigenvalues) ** 2 / sum of their squares."""
    centred = states - states.mean(0)
    covariance = centred.T @ centred
    return covariance.trace().square() / covariance.square().sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True, help="node_modules, as build_dataset.py fetched it")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="the output of an earlier run, to go on from its tower and vocabulary")
    parser.add_argument("--minutes", type=float, default=12, help="stop after so many minutes")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--merges", type=int, default=4000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=224, help="captions of the data set per step")
    parser.add_argument("--pairs", type=int, default=48, help="words of the dictionary per step")
    args = parser.parse_args()

    drawn = CaptionBatches(args.data, args.dictionary, args.packages)
    if args.init:
        shutil.copytree(args.init / "tokenizer", args.output / "tokenizer", dirs_exist_ok=True)
    else:
        save_vocabulary(args.output / "tokenizer", *train_vocabulary(drawn.texts(), args.merges))
    vocab = json.loads((args.output / "tokenizer/vocab.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(args.output / "tokenizer", LENGTH)
    words = sum(map(len, drawn.dictionary.nouns.values()))
    print(f"{len(vocab)} tokens, {words} words beyond the captions", flush=True)
    torch.manual_seed(0)
    text = load_text_encoder(args.init).train().requires_grad_(True) if args.init else new_tower(vocab, args.width, args.layers)
    readers = Readers(args.width, class_counts(drawn.codes))
    optimizer = torch.optim.AdamW([*text.parameters(), *readers.parameters()], lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    started = time.monotonic()
    for step in range(args.steps):
        progress = max(step / args.steps, (time.monotonic() - started) / 60 / args.minutes)
        if progress >= 1:
            break
        optimizer.param_groups[0]["lr"] = 2e-3 * min((step + 1) / 100, 1) * (1 - progress)
        text.requires_grad_(not args.init or step >= SETTLING)
        losses = step_loss(text, readers, tokenizer, drawn, args.batch_size, args.pairs)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} " + " ".join(f"{name} {float(value):.3f}" for name, value in losses.items()), flush=True)
    save_component(args.output, "text_encoder", text.config, text.state_dict())
    print(f"saved {args.output} after {step + 1} steps, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
