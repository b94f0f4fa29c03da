"""Choose the bundled model's defaults: CLIPScore against guidance and against steps, for four schedulers.

    python scripts/bundle/sweep.py --data DIR -o FOLDER [-m MODEL] [--seeds 2] [--limit N]

40 prompts, 20 of one thing and 20 composed of held-out combinations. First the guidance at STEPS steps: the one above 1 with the best mean
score over all schedulers (1 is drawn, and shown, but without guidance a negative prompt does nothing). Then scheduler and steps at that
guidance: the best mean score. The intervals are wide beside the differences: what is chosen is good, not proven best.
FOLDER gets sweep.json and sweep.png.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import lists
import torch
from judging import asked as ask
from judging.drawing import Drawer, as_pillow
from judging.judge import Judge
from judging.sweeping import Setting, choose_guidance, choose_steps, plot
from torch import Tensor

from ldmcli.diffusion import catalogue
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.clip_score import hessel_score

SCHEDULERS = ("ddim", "dpm++2m", "unipc", "euler")
GUIDANCE = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5)
STEPS = 20
STEP_COUNTS = (4, 6, 8, 10, 12, 15, 20, 30)
LEAST = 10
"""Steps that may be chosen. With fewer the first timestep of most schedulers lies below 900 of 1,000: the network is handed pure
noise for part of a picture. The edition before then drew two things less well, which the scorer does not see."""
EACH = 20
"""Prompts of one thing, and composed."""


def prompts_for(judge: Judge) -> list[str]:
    """Evenly spaced concepts, then backgrounds and relations in turn."""
    single = [row["prompt"] for row in lists.read_concepts()][7 :: 300 // EACH]
    backgrounds = ask.on_backgrounds(judge.wardrobe.things)
    beside, above = (ask.in_relation(judge.wardrobe.simple, above=stacked) for stacked in (False, True))
    composed = [one.prompt for one in (*backgrounds[:: len(backgrounds) // 10][:10], *beside[:5], *above[:5])]
    return judge.some([*single, *composed])


def measure(judge: Judge, prompts: Sequence[str], strengths: Sequence[float], step_counts: Sequence[int]) -> list[Setting]:
    """Draw and score the prompts with every scheduler, guidance and number of steps."""
    settings = list(product(SCHEDULERS, strengths, step_counts))
    listed = [("scheduler", SCHEDULERS), ("cfg", strengths), ("steps", step_counts)]
    flags = [part for name, values in listed for part in ("--sweep", f"{name}={','.join(map(str, values))}")]
    pictures = judge.drawer.draw(f"{len(strengths)}x{len(step_counts)}", prompts, judge.seeds, flags)
    shown = judge.scorer.embed_pictures(as_pillow(pictures)).view(len(prompts), len(settings), judge.seeds, -1)
    cosine = torch.einsum("pksd,pd->pks", shown, judge.scorer.embed_captions(prompts))
    scores = hessel_score(cosine).mean(dim=2).T  # (settings, prompts)
    return [scored(*setting, by_prompt) for setting, by_prompt in zip(settings, scores, strict=True)]


def scored(scheduler: str, cfg: float, steps: int, by_prompt: Tensor) -> Setting:
    """by_prompt: (N,) the mean score of each."""
    low, high = bootstrap_interval(by_prompt)
    calls = catalogue.resolve(scheduler).calls(steps) * (2 if cfg > 1 else 1)
    score = by_prompt.mean().item()
    print(f"{scheduler:8} cfg {cfg:<4g} steps {steps:3}  {calls:3} evaluations  CLIPScore {score:.4f} [{low:.4f}, {high:.4f}]")
    return Setting(scheduler, cfg, steps, calls, score, low, high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-m", "--model", default="bundled")
    parser.add_argument("--packages", type=Path, help="node_modules folder, where it is not beside the data")
    parser.add_argument("--seeds", type=int, default=2, help="seeds 0 .. N-1 of each prompt")
    parser.add_argument("--limit", type=int, help="so many prompts only, to try the script")
    parser.add_argument("--flags", default="", help='further options of `ldm generate`: "--device cuda"')
    args = parser.parse_args()
    drawer = Drawer(args.model, args.output / "drawn", tuple(args.flags.split()))
    judge = Judge(args.data, drawer, args.seeds, args.limit, packages=args.packages)
    prompts = prompts_for(judge)
    by_guidance = measure(judge, prompts, GUIDANCE, [STEPS])
    cfg = choose_guidance(by_guidance)
    by_steps = measure(judge, prompts, [cfg], STEP_COUNTS)
    chosen = choose_steps([one for one in by_steps if one.steps >= LEAST])
    report = {"prompts": prompts, "seeds": args.seeds, "guidance": by_guidance, "steps": by_steps, "chosen": chosen}
    (args.output / "sweep.json").write_text(json.dumps(report, indent=1, default=vars) + "\n", encoding="utf-8")
    plot(by_guidance, by_steps, chosen, args.output / "sweep.png")
    print(f"chosen: --scheduler {chosen.scheduler} --steps {chosen.steps} --cfg {chosen.cfg:g}")


if __name__ == "__main__":
    main()
