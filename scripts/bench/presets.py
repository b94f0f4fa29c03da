"""What a model's presets cost: fewer steps, guidance at fewer of them and by directions that are used again, against PNDM with 50 steps
and full guidance, same noise.

    python scripts/bench/presets.py [-m MODEL] [--prompts 200] [-o outputs/presets] [--minutes N]

Draws one picture of each concept of scripts/bundle/concepts.json by every candidate and prints a JSON line for each: evaluations of the
U-Net a picture, CLIPScore's mean paired difference to PNDM's pictures with its 95 % interval, the share of pictures whose own concept the
scorer ranks first of all, PSNR to DDIM with 50 steps, seconds a picture (the median of its batches). The last line names `fast`, the
fewest evaluations that keep the interval above -0.5 and lose at most one point of recognition, and `balanced`, the fewest among those
that are also as near to those 50 steps as the model's own defaults: the `presets` of `_ldm` in its model_index.json.

Every batch is kept in the folder of -o, and the same command goes on there, after --minutes (exit code 3) as after a kill. Pictures of
another model, version, number of prompts or setting have other files. Where a run was made in pieces beside other work, believe no seconds.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ldmcli import __version__
from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.batches import batches
from ldmcli.engine.plan import plan_jobs
from ldmcli.engine.requests import Request
from ldmcli.engine.sampling.batch import decoded, draw
from ldmcli.engine.sampling.open_model import AT_ONCE, OpenModel, open_model
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.psnr import psnr
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.models.source import find_source
from ldmcli.runtime.device import set_threads
from ldmcli.runtime.files import write_file

CONCEPTS = Path(__file__).parents[1] / "bundle" / "concepts.json"
PEER: dict[str, Any] = {"scheduler": "pndm", "steps": 50}
TRUTH: dict[str, Any] = {"scheduler": "ddim", "steps": 50, "spacing": "trailing"}
OWN: dict[str, Any] = {}
METHODS = (("ddim", "trailing"), ("unipc", "linspace"))
STEPS, INTERVALS, REUSES = (4, 5, 6, 8), (None, (0.3, 1.0)), (None, 2)
LEAST_SCORE, LEAST_RECOGNISED = -0.5, -0.01
UNFINISHED = 3


class TimeIsUp(Exception):
    """The rest is for the next run."""


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


@dataclass
class Study:
    """Who draws what, who judges it, and where it is kept. until: of time.monotonic. captions: (concepts, D)."""

    model: OpenModel
    scorer: Scorer
    concepts: Sequence[str]
    prompts: Sequence[str]
    folder: Path
    until: float = math.inf

    def __post_init__(self) -> None:
        self.captions = self.scorer.embed_captions(self.concepts)
        self.own = torch.tensor([self.concepts.index(prompt) for prompt in self.prompts])

    def kept_at(self, options: dict[str, Any]) -> Path:
        """The file of one setting, named by all that decides its pictures."""
        model = [self.model.unet_sha256, self.model.other_weights, self.model.own.get("defaults")]
        facts = [__version__, torch.__version__, *model, list(self.prompts)]
        return self.folder / f"{hashlib.sha256(json.dumps([options, *facts], sort_keys=True).encode()).hexdigest()[:32]}.safetensors"

    def pictures(self, options: dict[str, Any]) -> tuple[Tensor, Tensor, int]:
        """One picture of each prompt, seeds 0, 1, ...: (P, 3, H, W) of 0 .. 255, the seconds of each, (P,), and its evaluations of the
        U-Net. Raises TimeIsUp."""
        config, path = GenerateConfig(**options), self.kept_at(options)
        settings, rows = self.model.settings(config), kept(path)
        todo = batches(plan_jobs([Request(prompt, config) for prompt in self.prompts], 0), lambda job: AT_ONCE)
        for number in range(len(todo)):
            if todo.start(number) < len(rows["seconds"]):
                continue
            if time.monotonic() > self.until:
                raise TimeIsUp
            began = time.perf_counter()
            steps = draw(self.model.session, settings, todo[number], {"encode_s": 0.0, "denoise_s": 0.0, "decode_s": 0.0})
            try:
                while True:
                    next(steps)
            except StopIteration as end:
                found = [decoded(self.model.session, one).picture for one in end.value]
            each = (time.perf_counter() - began) / len(found)
            assert all(found)
            pixels = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in found if one])
            rows = {
                "pictures": torch.cat([rows["pictures"], pixels]) if len(rows["pictures"]) else pixels,
                "seconds": torch.cat([rows["seconds"], torch.full((len(found),), each)]),
            }
            write_file(path, save(rows))
        return rows["pictures"].contiguous(), rows["seconds"], settings.unet_evaluations

    def drawn(self, options: dict[str, Any]) -> Drawn:
        """The pictures of one setting, judged. Raises TimeIsUp."""
        pixels, seconds, evaluations = self.pictures(options)
        found = self.scorer.embed_pictures([Image.fromarray(one.permute(1, 2, 0).numpy()) for one in pixels])
        cosine = found @ self.captions.T  # (P, concepts)
        scores = 100 * cosine[torch.arange(len(self.own)), self.own]
        return Drawn(evaluations, seconds.median().item(), pixels, scores, (cosine.argmax(dim=1) == self.own).float())


def kept(path: Path) -> dict[str, Tensor]:
    """What an earlier run drew: pictures (k, 3, H, W) and the seconds of each, (k,); of none where the file is not there or damaged."""
    with suppress(OSError, SafetensorError, ValueError):
        rows = load_file(path) if path.is_file() else {}
        if rows.keys() == {"pictures", "seconds"} and len(rows["pictures"]) == len(rows["seconds"]):
            return rows
    return {"pictures": torch.empty(0, dtype=torch.uint8), "seconds": torch.empty(0)}


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
    names = ("scheduler", "steps", "spacing", "cfg_interval", "cfg_reuse")
    best = {
        name: min(some, key=lambda one: (one["evaluations"], -one["psnr_to_50_steps"]), default=None)
        for name, some in (("fast", kept), ("balanced", near))
    }
    return {name: one and {key: one[key] for key in names if one[key] is not None} for name, one in best.items()}


def candidates() -> list[dict[str, Any]]:
    """The settings to choose from."""
    return [
        {"scheduler": name, "steps": steps, "spacing": spacing, "cfg_interval": interval, "cfg_reuse": reuse}
        for (name, spacing), steps, interval, reuse in product(METHODS, STEPS, INTERVALS, REUSES)
    ]


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default=None)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("-o", "--output", type=Path, default=Path("outputs/presets"), help="folder of what is drawn")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many; the same command goes on")
    args = parser.parse_args(argv)
    set_threads()
    config = GenerateConfig(**({"model": args.model} if args.model else {}), device="cpu")
    concepts = [each["prompt"] for each in json.loads(CONCEPTS.read_text(encoding="utf-8"))]
    prompts = [concepts[i * len(concepts) // args.prompts] for i in range(args.prompts)]
    until = time.monotonic() + 60 * args.minutes
    study = Study(open_model(config, find_source(config)), load_scorer("bundled"), concepts, prompts, args.output, until)
    settings = [("pndm, 50 steps", PEER), ("the model's own", OWN), *(("candidate", one) for one in candidates())]
    rows: list[dict[str, Any]] = []
    try:
        truth, peer = study.drawn(TRUTH), study.drawn(PEER)
        for name, options in settings:
            rows.append(row(name, options, peer if options is PEER else study.drawn(options), peer, truth))
            print(json.dumps(rows[-1]), flush=True)
    except TimeIsUp:
        print(f"{len(rows)} of {len(settings)} settings are drawn; the same command goes on", file=sys.stderr)
        return UNFINISHED
    print(json.dumps({"presets": choose(rows[2:], rows[1]), "prompts": len(prompts), "threads": torch.get_num_threads()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
