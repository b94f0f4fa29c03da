"""Plans of many prompts: the same as a plain reading of the rules, in few bytes a line."""

import itertools
import json
import tracemalloc
from dataclasses import replace
from random import Random

import pytest

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.sharing import Shard
from ldmcli.config.starting import OF_A_JOB, parse_variation
from ldmcli.engine.batches import batches
from ldmcli.engine.generate import prompts_file
from ldmcli.engine.generate.prompts_file import read_prompts
from ldmcli.engine.jobs import Job, Towards, digest
from ldmcli.engine.plan import _LatestRows, plan_jobs
from ldmcli.engine.requests import Request, RequestList
from ldmcli.runtime import long_lists

CONFIGS = [
    GenerateConfig(), GenerateConfig(), GenerateConfig(num_images=3), GenerateConfig(cfg=2.0, prompts=("a",)), GenerateConfig(seed=9),
    GenerateConfig(frames=4, seed_to=8), GenerateConfig(frames=2, prompt_to="a cat"), GenerateConfig(variation="7:0.25", num_images=2),
    GenerateConfig(seed_to=3, share=0.5),
]  # fmt: skip


def plain_jobs(requests, seed):
    """Every job, by the rules as they are told to users, in no hurry."""
    jobs, counts = [], {}
    for request in requests:
        config, first = request.config, seed if request.seed is None else request.seed
        uncounted = replace(config, prompts=(), num_images=1, seed=None)
        job = Job(len(jobs), request.prompt, first, replace(uncounted, **OF_A_JOB), request.line)
        if config.frames is not None:
            end = replace(job, seed=first if config.seed_to is None else config.seed_to, prompt=config.prompt_to or request.prompt)
            shares = [i / (config.frames - 1) for i in range(1, config.frames - 1)]
            way = [job, *(replace(job, towards=Towards(config.seed_to, config.prompt_to, share)) for share in shares), end]
            jobs += [replace(one, number=job.number + i, sequence=job.number) for i, one in enumerate(way)]
            continue
        towards = None if config.share is None else Towards(config.seed_to, config.prompt_to, config.share)
        for _ in range(config.num_images):
            i = counts.setdefault((uncounted, first, request.prompt), itertools.count())
            count, own = next(i), replace(job, number=len(jobs), towards=towards)
            if config.variation is None:
                jobs.append(replace(own, seed=first + count))
            else:
                other, amount = parse_variation(config.variation)
                jobs.append(replace(own, variation=(other + count, amount)))
    return jobs


def plain_batches(jobs, size, windows):
    groups = {}
    for job in jobs:
        groups.setdefault((job.config, windows(job), job.number if job.end_of_sequence else None), []).append(job)
    cut = ((group, size(group[0])) for group in groups.values())
    return [group[first : first + most] for group, most in cut for first in range(0, len(group), most)]


@pytest.mark.parametrize("seed", range(6))
def test_jobs_and_batches_are_those_of_the_plain_rules(monkeypatch, seed):
    monkeypatch.setattr(long_lists, "HELD_BYTES", 100)
    draw = Random(seed)
    configs = draw.sample(CONFIGS, 5)
    requests = [
        Request(draw.choice("abcd") * draw.randint(1, 3), draw.choice(configs), draw.choice([None, None, 5, 2**63]), draw.choice([None, 7]))
        for _ in range(120)
    ]
    kept = RequestList(requests)
    assert list(kept) == requests and kept.pictures == sum(request.config.pictures for request in requests)
    expected, jobs = plain_jobs(requests, 5), plan_jobs(kept, 5)
    assert list(jobs) == expected and [jobs[number] for number in range(len(jobs))] == expected
    assert jobs.configs == list(dict.fromkeys(job.config for job in expected))
    ways = (lambda job: 3 + job.config.num_images, lambda job: len(job.prompt))
    drawn, whole = batches(jobs, *ways), plain_batches(expected, *ways)
    assert list(drawn) == whole and drawn.pictures == len(expected)
    assert [drawn.start(number) for number in range(len(drawn))] == [0, *itertools.accumulate(map(len, whole))][:-1]
    for number in (1, 2, 3):
        assert list(drawn.part(Shard(number, 3, ""))) == whole[number - 1 :: 3]
    assert len(drawn.part(Shard(500, 1000, ""))) == 0 and drawn.part(Shard(500, 1000, "")).pictures == 0


def test_seeds_are_named_only_where_all_are():
    config = GenerateConfig()
    named, unnamed = Request("a", config, 0), Request("b", config)
    lists = [RequestList(one) for one in ([named], [unnamed], [named, unnamed], [unnamed, named])]
    assert [one.name_their_seeds for one in lists] == [True, False, False, False]
    assert [request.seed for request in lists[3]] == [None, 0]


def test_other_settings_leave_the_list_as_it_was():
    kept = RequestList([Request("a", GenerateConfig(), 4), Request("b", GenerateConfig(cfg=2.0))])
    changed = kept.with_settings(lambda config: replace(config, fuse=False))
    assert [(one.prompt, one.seed, one.config.cfg, one.config.fuse) for one in changed] == [("a", 4, None, False), ("b", None, 2.0, False)]
    assert all(one.config.fuse for one in kept) and digest(kept) != digest(changed)


def test_keys_whose_hashes_are_equal_are_told_apart():
    keys = "aabbcadbca"
    rows = _LatestRows(len(keys))
    found = [rows.swap(5, row, lambda other, row=row: keys[other] == keys[row]) for row in range(len(keys))]
    assert found == [None, 0, None, 2, None, 1, None, 3, 4, 5]


LINES = {
    "text": lambda number: f"a dog and a cat in the park, number {number}",
    "jsonl": lambda number: json.dumps({"prompt": f"a dog, number {number}", "seed": 3 * number, "steps": 2 + number % 2}),
    "the same": lambda number: "a dog",
    "utf-16": lambda number: f"a caf\xe9, number {number}",
}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_takes_64_bytes_until_the_first_batch(monkeypatch, tmp_path, kind):
    """So that a million take 64 MB. scripts/bench/prompt_lines.py measures that in the whole process."""
    monkeypatch.setattr(long_lists, "HELD_BYTES", 10_000)
    monkeypatch.setattr(prompts_file, "BLOCK_BYTES", 1000)
    count, path = 2**12 - 1, tmp_path / "prompts"
    path.write_text("".join(f"{LINES[kind](number)}\n" for number in range(count)), encoding="utf-16" if kind == "utf-16" else "utf-8")
    read_prompts(str(path), GenerateConfig())  # what is made once
    tracemalloc.start()
    requests = read_prompts(str(path), GenerateConfig()).requests
    digest(requests)
    jobs = plan_jobs(requests, 5)
    drawn = batches(jobs, lambda job: 1)
    assert len(drawn[0]) == 1 and len(jobs) == drawn.pictures == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * count + 40_000
    assert len(requests.configs) == (2 if kind == "jsonl" else 1)
