"""How well the bundled scorer tells captions apart, on pictures that it has not seen and on those that the bundled model draws.

    python scripts/bundle/evaluate_scorer.py --data DIR --drawn FOLDER [--scorer FOLDER] [--prompts 200]

A picture is retrieved when its thing's caption (the first, which names no style, whatever the picture's style) has the largest cosine of
100, the other 99 being those of other things. FOLDER keeps what `ldm generate` draws for the prompts, so that a second run draws nothing.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from scorer_views import augmented, variants
from torch import Tensor
from torch.nn import functional as F
from train_scorer import is_held_out, read_facts, single_numbers

from ldmcli.data.cache import Entry, decoded_pictures
from ldmcli.data.layouts import load_captioned
from ldmcli.data.picture_captions import find_pairs
from ldmcli.data.pictures import read_picture
from ldmcli.metrics.clip_score import others_mean, permutation_p_value
from ldmcli.models.scorer import load_scorer

AMONG = 100


def retrieved(pictures: Tensor, own: list[str], vectors: dict[str, Tensor], rng: random.Random) -> str:
    """pictures: (N, D) with their captions; vectors: of every caption. Returns "hits of N" in words."""
    hits = 0
    for picture, caption in zip(pictures, own, strict=True):
        others = rng.sample([text for text in vectors if text != caption], AMONG - 1)
        cosines = torch.stack([vectors[text] for text in (caption, *others)]) @ picture
        hits += int(cosines.argmax()) == 0
    return f"{hits} of {len(own)}  {hits / len(own):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    parser.add_argument("--drawn", type=Path, required=True, help="where the bundled model's pictures are, or will be")
    parser.add_argument("--scorer", default="bundled")
    parser.add_argument("--prompts", type=int, default=200)
    args = parser.parse_args()

    data, scorer, rng = load_captioned(args.data), load_scorer(args.scorer), random.Random(1)
    facts = read_facts(args.data, data)
    singles = single_numbers(facts)
    called: dict[str, str] = {}  # by emoji; its pictures stand together, the one in the style that needs no name first
    for number in singles:
        called.setdefault(facts[number]["emoji"], data.images[number].captions[0])
    first = {number: called[facts[number]["emoji"]] for number in singles}
    concepts = list(dict.fromkeys(called.values()))
    vectors = dict(zip(concepts, scorer.embed_captions(concepts), strict=True))

    held_out = [number for number in singles if is_held_out(facts[number])]
    unseen = scorer.embed_pictures([read_picture(data.images[number].path) for number in held_out])
    print(f"pictures held out       {retrieved(unseen, [first[n] for n in held_out], vectors, rng)}", flush=True)

    seen = rng.sample([number for number in singles if not is_held_out(facts[number])], 500)
    with tempfile.TemporaryDirectory() as cache:
        pixels = next(e for e in decoded_pictures(data, 64, Path(cache)) if isinstance(e, Entry)).arrays["pixels"][seen].clone()
    for name, version in zip(("as they are", "as JPEG", "through the VAE"), variants(pixels, seed=1), strict=True):
        shown = augmented(version, torch.Generator().manual_seed(1))
        with torch.no_grad():
            again = F.normalize(scorer.model.get_image_features(shown).pooler_output, dim=-1)
        print(f"augmented, {name:16} {retrieved(again, [first[n] for n in seen], vectors, rng)}", flush=True)

    every = max(len(concepts) // args.prompts, 1)
    prompts = args.drawn.with_suffix(".txt")
    prompts.write_text("\n".join(concepts[::every][: args.prompts]) + "\n", encoding="utf-8")
    draw = [sys.executable, "-m", "ldmcli", "generate", "-f", str(prompts), "--seed", "0", "-o", f"{args.drawn}/", "--resume", "-q"]
    subprocess.run(draw, check=True, stdout=subprocess.DEVNULL)
    pairs = find_pairs([args.drawn]).pairs
    pictures = scorer.embed_pictures([read_picture(pair.path) for pair in pairs])
    texts = [pair.caption for pair in pairs]
    captions = scorer.embed_captions(texts)
    print(f"drawn by the model      {retrieved(pictures, texts, vectors, rng)}")
    belongs = torch.tensor([[a == b for b in texts] for a in texts])
    matched, floor = 100 * (pictures * captions).sum(dim=1).mean().item(), 100 * others_mean(pictures, captions, belongs)
    p_value = permutation_p_value(pictures, captions, permutations=9999)
    print(f"drawn by the model, {len(pairs)} prompts: matched {matched:.2f}, shuffled {floor:.2f}, permutation test p = {p_value:.4f}")
    styles = sorted({row["style"] for row in facts})
    print(f"{len(singles)} pictures of {len(concepts)} concepts in {len(styles)} styles; chance {1 / AMONG:.0%}")


if __name__ == "__main__":
    main()
