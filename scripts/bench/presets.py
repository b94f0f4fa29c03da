"""What a model's presets cost: fewer steps and guidance at fewer of them, against PNDM with 50 steps and full guidance, same noise.

    python scripts/bench/presets.py [-m MODEL] [--prompts 200]

Draws one picture of each concept of scripts/bundle/concepts.json by every candidate and prints a JSON line for each: evaluations of the
U-Net a picture, CLIPScore's mean paired difference to PNDM's pictures with its 95 % interval, the share of pictures whose own concept the
scorer ranks first of all, PSNR to DDIM with 50 steps, seconds a picture. The last line names `fast`, the fewest evaluations that keep the
interval above -0.5 and lose at most one point of recognition, and `balanced`, the fewest among those that are also as near to those 50
steps as the model's own defaults: the `presets` of `_ldm` in its model_index.json.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.batches import batches
from ldmcli.engine.plan import plan_jobs
from ldmcli.engine.requests import Request
from ldmcli.engine.sampling.batch import decoded, draw
from ldmcli.engine.sampling.open_model import OpenModel, open_model
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.psnr import psnr
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.models.source import find_source
from ldmcli.runtime.device import set_threads

CONCEPTS = Path(__file__).parents[1] / "bundle" / "concepts.json"
PEER: dict[str, Any] = {"scheduler": "pndm", "steps": 50}
TRUTH: dict[str, Any] = {"scheduler": "ddim", "steps": 50, "spacing": "trailing"}
METHODS = (("ddim", "trailing"), ("unipc", "linspace"))
STEPS, INTERVALS = (4, 5, 6, 8), (None, (0.3, 1.0))
LEAST_SCORE, LEAST_RECOGNISED = -0.5, -0.01


@dataclass(frozen=True)
class Drawn:
    """By one setting. pictures: (P, 3, H, W) of 0 .. 255; scores: (P,), 100 times the cosine, as torchmetrics counts it;
    recognised: (P,), 1 where the scorer ranks its own concept first.
    """

    evaluations: int
    seconds: float
    pictures: Tensor
    scores: Tensor
    recognised: Tensor


def drawn(model: OpenModel, scorer: Scorer, concepts: Sequence[str], prompts: Sequence[str], options: dict[str, Any]) -> Drawn:
    """One picture of each prompt, seeds 0, 1, ... concepts: all that a picture might be taken for."""
    config = GenerateConfig(**options)
    settings, pictures, seconds = model.settings(config), [], 0.0
    for batch in batches(plan_jobs([Request(prompt, config) for prompt in prompts], 0), config.batch_size, lambda job: 1):
        began = time.perf_counter()
        steps = draw(model.session, settings, batch, {"encode_s": 0.0, "denoise_s": 0.0, "decode_s": 0.0})
        try:
            while True:
                next(steps)
        except StopIteration as end:
            pictures += [decoded(model.session, one).picture for one in end.value]
        seconds += time.perf_counter() - began
    assert all(pictures)
    cosine = scorer.embed_pictures(pictures) @ scorer.embed_captions(concepts).T  # (P, concepts)
    own = torch.tensor([concepts.index(prompt) for prompt in prompts])
    pixels = torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures]).permute(0, 3, 1, 2)
    found = (cosine.argmax(dim=1) == own).float()
    scores = 100 * cosine[torch.arange(len(own)), own]
    return Drawn(settings.unet_evaluations, seconds / len(prompts), pixels, scores, found)


def row(name: str, options: dict[str, Any], ours: Drawn, peer: Drawn, truth: Drawn) -> dict[str, Any]:
    """What is printed of one setting."""
    low, high = bootstrap_interval((ours.scores - peer.scores).tolist())
    facts = {"setting": name, **options, "evaluations": ours.evaluations, "seconds": round(ours.seconds, 4)}
    apart = (ours.scores - peer.scores).mean().item()
    return facts | {
        "score": round(ours.scores.mean().item(), 2), "score_apart": round(apart, 2), "score_ci95": [round(low, 2), round(high, 2)],
        "recognised": round(ours.recognised.mean().item(), 4),
        "recognised_apart": round((ours.recognised - peer.recognised).mean().item(), 4),
        "psnr_to_50_steps": round(psnr(ours.pictures, truth.pictures, span=255).mean().item(), 2),
        "times_the_speed_of_pndm": round(peer.seconds / ours.seconds, 2),
    }  # fmt: skip


def choose(rows: Sequence[dict[str, Any]], own: dict[str, Any]) -> dict[str, Any]:
    """fast and balanced of the candidates; see above."""
    kept = [one for one in rows if one["score_ci95"][0] > LEAST_SCORE and one["recognised_apart"] >= LEAST_RECOGNISED]
    near = [one for one in kept if one["psnr_to_50_steps"] >= own["psnr_to_50_steps"]]
    names = ("scheduler", "steps", "spacing", "cfg_interval")
    best = {
        name: min(some, key=lambda one: (one["evaluations"], -one["psnr_to_50_steps"]), default=None)
        for name, some in (("fast", kept), ("balanced", near))
    }
    return {name: one and {key: one[key] for key in names if one[key] is not None} for name, one in best.items()}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default=None)
    parser.add_argument("--prompts", type=int, default=200)
    args = parser.parse_args()
    set_threads()
    config = GenerateConfig(**({"model": args.model} if args.model else {}), device="cpu")
    model, scorer = open_model(config, find_source(config)), load_scorer("bundled")
    concepts = [each["prompt"] for each in json.loads(CONCEPTS.read_text(encoding="utf-8"))]
    prompts = [concepts[i * len(concepts) // args.prompts] for i in range(args.prompts)]
    candidates = [
        {"scheduler": name, "steps": steps, "spacing": spacing, "cfg_interval": interval}
        for (name, spacing), steps, interval in product(METHODS, STEPS, INTERVALS)
    ]
    truth, peer = (drawn(model, scorer, concepts, prompts, options) for options in (TRUTH, PEER))
    rows = []
    for name, options in (("pndm, 50 steps", PEER), ("the model's own", {}), *(("candidate", one) for one in candidates)):
        ours = peer if options is PEER else drawn(model, scorer, concepts, prompts, options)
        rows.append(row(name, options, ours, peer, truth))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"presets": choose(rows[2:], rows[1]), "prompts": len(prompts), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
