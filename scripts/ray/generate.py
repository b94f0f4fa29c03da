"""Draw a prompts file on a Ray cluster, each worker with a model of its own.

    python scripts/ray/generate.py prompts.jsonl -o out/ [-m MODEL] [--seed 1] [--workers 2] [--gpus 0]

Lines are prompts, or JSON with the arguments of `pipe(...)` (ldm help python): {"prompt": "a dog", "seed": 7, "steps": 20}. out/ lies where
all workers see it. Pictures are those of `ldm generate --batch-size 1`, named by line and seed; a file that is there is not drawn again.
With RAY_ADDRESS the work is done on that cluster, otherwise on this machine.
"""

import argparse
import json
import os
import secrets
from pathlib import Path
from typing import Any


class Drawer:
    """An actor: opens the model once and draws every row that it is given."""

    def __init__(self, model: str, device: str, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray gives an actor one; they are part of how pixels are rounded

        import ldmcli

        self.pipe = ldmcli.load(model, device=device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns `path` and `job`, the arguments as JSON. Returns the paths."""
        for path, job in zip(batch["path"], batch["job"], strict=True):
            if not Path(path).exists():
                arguments = json.loads(job)
                save(self.pipe(arguments.pop("prompt"), **arguments), Path(path))
        return {"path": batch["path"]}


def save(picture: Any, path: Path) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".ldm-{secrets.token_hex(8)}.png")
    try:
        picture.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_jobs(prompts: Path, output: Path, seed: int) -> list[dict[str, str]]:
    """A row for every line that is neither empty nor a comment. Picture files are numbered by these lines, from 0."""
    rows = []
    for line in prompts.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            job = {"seed": seed, **(json.loads(line) if line.startswith("{") else {"prompt": line})}
            rows.append({"path": str(output / f"{len(rows):05}_seed{job['seed']}.png"), "job": json.dumps(job)})
    return rows


def draw(rows: list[dict[str, str]], args: argparse.Namespace) -> list[str]:
    """The paths, once all are drawn. Ray hands out small blocks, so that a slow worker holds nobody up."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    workers = {"concurrency": args.workers, "num_gpus": args.gpus / args.workers if args.gpus else 0}
    pieces = ray.data.from_items(rows, override_num_blocks=max(len(rows) // 4, 1))
    done = pieces.map_batches(Drawer, fn_constructor_args=(args.model, args.device, args.threads), batch_size=4, **workers)
    return sorted(row["path"] for row in done.take_all())


def main() -> None:
    """Parse, draw, print the paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-m", "--model", default="bundled")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of each worker, on a CPU")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=0, help="for all workers together")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    print("\n".join(draw(read_jobs(args.prompts, args.output.absolute(), args.seed), args)))


if __name__ == "__main__":
    main()
