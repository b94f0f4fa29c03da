"""CLIPScore of pictures of ours on a Ray cluster: the figures of `ldm clipscore`.

    python scripts/ray/score.py out/ [more/ ...] [--clip-model MODEL] [--workers 2] [--gpus 0]

Captions are the prompts inside the files. Prints a JSON document. With RAY_ADDRESS the work is done on that cluster, otherwise on this
machine.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any


class Judge:
    """An actor: holds the scorer. The bundled model is the smallest that brings one along."""

    def __init__(self, clip_model: str | None, device: str, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)

        import ldmcli

        self.pipe, self.clip_model = ldmcli.load("bundled", device=device), clip_model

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Column `path`. Adds the caption and `clip_score`, 100 times the cosine."""
        from PIL import Image

        captions, scores = [], []
        for path in batch["path"]:
            with Image.open(path) as picture:
                captions.append(json.loads(picture.info["ldm"])["prompt"])
                scores.append(self.pipe.score(picture, captions[-1], clip_model=self.clip_model))
        return {"path": batch["path"], "caption": captions, "clip_score": scores}


def score(paths: list[Path], args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every picture, in the order of their paths."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    workers = {"concurrency": args.workers, "num_gpus": args.gpus / args.workers if args.gpus else 0}
    pieces = ray.data.from_items([{"path": str(path)} for path in paths], override_num_blocks=max(len(paths) // 8, 1))
    done = pieces.map_batches(Judge, fn_constructor_args=(args.clip_model, args.device, args.threads), batch_size=8, **workers)
    return sorted(done.take_all(), key=lambda row: row["path"])


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean and its interval, over captions where several pictures share one, as `ldm clipscore` does."""
    import torch

    from ldmcli.metrics.bootstrap import bootstrap_interval
    from ldmcli.metrics.clusters import cluster_values

    scores = torch.tensor([row["clip_score"] for row in rows], dtype=torch.float64)
    units = [row["path"] if len({row["caption"] for row in rows}) >= len(rows) else row["caption"] for row in rows]
    interval = bootstrap_interval(cluster_values(scores, units), seed=0)
    return {"n": len(rows), "clip_score": scores.mean().item(), "ci95": list(interval), "items": rows}


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--clip-model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of each worker, on a CPU")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=0, help="for all workers together")
    args = parser.parse_args()
    paths = sorted(path.absolute() for folder in args.folders for path in folder.glob("*.png") if ".grid" not in path.name)
    print(json.dumps(report(score(paths, args))))


if __name__ == "__main__":
    main()
