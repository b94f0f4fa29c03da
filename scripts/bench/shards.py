"""A listing of 10,000 shards with 100 million captions: seconds until the first batch is known, and memory; how well blocks of shards are
shuffled, beside a full shuffle.

    .venv/bin/python scripts/bench/shards.py [--shards 10000] [--pictures 10000] [--blocks 1,4,8,16,64] [--full]

Shuffling is measured on what matters to training: a batch should hold pictures of many shards, and pictures that were neighbours should
come far apart. `sources` is the mean number of different shards in a batch of 256; `apart` is the mean distance between two
pictures that lie next to each other in a shard, as a share of what a full shuffle has (a third of the epoch); `runs` is the mean share of
neighbours in the training order that come from one shard.
"""

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path

import psutil
import torch

from ldmcli.data.fingerprints import data_fingerprint, timed_fingerprint
from ldmcli.data.streamed import ShardImages, load_streamed
from ldmcli.training.block_order import BlockOrder
from ldmcli.training.order import SampleOrder

BATCH, SAMPLED = 256, 200


def rss() -> float:
    """MiB."""
    return psutil.Process(os.getpid()).memory_info().rss / 2**20


def quality(order: BlockOrder | SampleOrder, per_shard: int) -> tuple[float, float]:
    """(different shards in a batch, share of neighbours from one shard), means over batches from everywhere in the first epoch."""
    steps = range(0, order.count // BATCH, max(order.count // BATCH // SAMPLED, 1))
    batches = [(order.batch(step, BATCH) // per_shard) for step in steps]
    sources = sum(len(shards.unique()) for shards in batches) / len(batches)
    return sources, sum((shards[1:] == shards[:-1]).float().mean().item() for shards in batches) / len(batches)


def apart(order: BlockOrder, per_shard: int) -> float:
    """Mean distance of neighbours in the training order, as a share of a third of the epoch: from whole blocks."""
    total, pairs = 0.0, 0
    for block in random.Random(0).sample(range(max(order.count // (per_shard * order.block), 1)), 3):
        first = block * per_shard * order.block
        numbers = torch.tensor(order.places(first, min(first + per_shard * order.block, order.count)))
        place = torch.empty(int(numbers.max()) + 1, dtype=torch.int64)
        place[numbers] = torch.arange(len(numbers))
        sorted_numbers = numbers.sort().values
        beside = sorted_numbers[:-1][(sorted_numbers[1:] - sorted_numbers[:-1] == 1) & (sorted_numbers[1:] % per_shard != 0)]
        total += (place[beside] - place[beside + 1]).abs().float().sum().item()
        pairs += len(beside)
    return total / pairs / (order.count / 3)


def start(shards: int, per_shard: int) -> None:
    """What a run with --stream does before its first batch, on a folder of as many empty files, whose counts stand beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"{number:05}.tar" for number in range(shards)]
        for shard in names:
            (folder / shard).touch()
        (folder / "sizes.json").write_text(json.dumps(dict.fromkeys(names, per_shard)))
        before, started = rss(), time.perf_counter()
        data = load_streamed(folder, kept=18)
        assert isinstance(data.images, ShardImages)
        listed = time.perf_counter() - started
        data_fingerprint(data), timed_fingerprint(data)
        known = time.perf_counter() - started
        BlockOrder(data.images.counts, 0, 8).batch(0, BATCH)
        first = time.perf_counter() - started
        print(
            f"start    : listed after {listed:.2f} s, fingerprints {known:.2f} s, first batch {first:.2f} s, {rss() - before:.1f} MiB more"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=10_000, help="of a shard")
    parser.add_argument("--blocks", default="1,4,8,16,64")
    parser.add_argument("--full", action="store_true", help="also the full shuffle, which needs 8 bytes a picture twice")
    options = parser.parse_args()
    start(options.shards, options.pictures)
    counts, before = [options.pictures] * options.shards, rss()
    print(f"{options.shards:,} shards, {sum(counts):,} pictures; {before:,.0f} MiB before")
    for block in map(int, options.blocks.split(",")):
        started = time.perf_counter()
        order = BlockOrder(counts, 0, block)
        order.batch(0, BATCH)
        first = time.perf_counter() - started
        started = time.perf_counter()
        order.batch(order.count // BATCH // 2 + 1, BATCH)  # as a run that is gone on with
        going_on = time.perf_counter() - started
        started = time.perf_counter()
        for step in range(1, 21):
            order.batch(order.count // BATCH // 2 + 1 + step, BATCH)
        each, more = (time.perf_counter() - started) / 20, rss() - before
        sources, runs = quality(order, options.pictures)
        print(
            f"block {block:3}: first batch {1e3 * first:.1f} ms, from the middle {1e3 * going_on:.1f} ms, a batch {1e3 * each:.2f} ms,"
            f" {more:.1f} MiB more; sources {sources:.1f} of {BATCH}, runs {runs:.4f}, apart {apart(order, options.pictures):.4f}"
        )
    if options.full:
        started = time.perf_counter()
        full = SampleOrder(sum(counts), 0)
        full.batch(0, BATCH)
        first = time.perf_counter() - started
        sources, runs = quality(full, options.pictures)
        print(f"full     : first batch {first:.1f} s, {rss() - before:,.0f} MiB more; sources {sources:.1f} of {BATCH}, runs {runs:.4f}")


if __name__ == "__main__":
    main()
