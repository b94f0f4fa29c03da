"""Tiny data and a tiny model, made once."""

import functools
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `tiny`, which the folders beside this one share
sys.path.insert(1, str(Path(__file__).parents[1] / "models"))  # for `families`: Stable Diffusion in small

from loaded import loading_once  # noqa: E402
from tiny import make_coco, make_pipeline  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


LOADED = {}
"""Networks that tests of this folder have loaded."""


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """A network is built and filled once for all tests of this folder, as long as its files stay the same ones. tests/models, which is
    about loading and may run in the same worker, knows nothing of it."""
    with loading_once(LOADED):
        yield


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """A folder of 24 captioned pictures in COCO layout."""
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A whole diffusers folder with random weights."""
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def ldm(capsys):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    from ldmcli.cli import main

    def run(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def generate(ldm, model, monkeypatch):
    """`ldm generate` with the tiny model on one thread of the CPU."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in `environment()`: it stands in the pictures
    return lambda *argv: ldm("generate", "-m", model, "--device", "cpu", *argv)


@pytest.fixture
def evaluations(monkeypatch):
    """A list that grows by (pictures in the batch) with every evaluation of the U-Net; guidance doubles its rows."""
    from ldmcli.engine.generate import run as engine

    seen, original = [], engine.open_networks

    def opened(*arguments, **options):
        session = original(*arguments, **options)
        session.unet.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0]) // 2))
        return session

    monkeypatch.setattr(engine, "open_networks", opened)
    return seen


@pytest.fixture
def exported(tmp_path_factory, monkeypatch):
    """What OpenVINO made of a network is kept where all workers of the suite find it: an export takes seconds, whatever the size."""
    shared = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("XDG_CACHE_HOME", str((shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "exported"))


@pytest.fixture
def trace(generate, tmp_path):
    """Draw with --trace; returns (lines of trace.jsonl by kind, text of trace.html)."""

    def run(*argv, prompt="red dog"):
        code, out, err = generate(prompt, "-s", "5", "-o", tmp_path / "dog.png", "-q", "--trace", tmp_path / "look", "--overwrite", *argv)
        assert code == 0, err
        assert out.splitlines()[-1] == str(tmp_path / "look" / "trace.html")
        kinds = {}
        for line in (tmp_path / "look" / "trace.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            kinds.setdefault(row["kind"], []).append(row)
        return kinds, (tmp_path / "look" / "trace.html").read_text(encoding="utf-8")

    return run


@pytest.fixture(scope="session")
def counted_once():
    """What networks cost, which takes seconds to count for Stable Diffusion, once for all tests; every call costs the same."""
    from ldmcli.engine.bench import costs, pixel_space

    of_one = functools.cache(costs.count_costs)

    def count_costs(unet, vae, text, shape, work):
        return replace(of_one(unet, vae, text, shape, replace(work, calls=1)), calls=work.calls)

    return count_costs, functools.cache(pixel_space.count_space)


@pytest.fixture
def short_bursts(monkeypatch, counted_once):
    """The roof of the machine is measured in every command; here a quick look will do."""
    from ldmcli.engine.bench import machine as bench_machine
    from ldmcli.engine.bench import pixel_space, timing

    monkeypatch.setattr(bench_machine, "BURST_S", 1e-4)
    count_costs, count_space = counted_once
    monkeypatch.setattr(timing, "count_costs", count_costs)
    monkeypatch.setattr(pixel_space, "count_costs", count_costs)
    monkeypatch.setattr(pixel_space, "count_space", count_space)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def bench(ldm, model, short_bursts):
    """`ldm bench` with the tiny model and as few runs as there can be."""
    return lambda *argv: ldm("bench", "-m", model, "--device", "cpu", "--runs", 2, "--warmup", 1, "--steps", 2, *argv)
