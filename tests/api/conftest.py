"""One open pipeline for all: the tiny model of tests/engine, on one thread of the CPU."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import make_pipeline  # noqa: E402


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A whole diffusers folder with random weights: 64 x 64 pixels, latents (4, 8, 8)."""
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def pipe(model):
    import ldmcli

    return ldmcli.load(model, device="cpu")


@pytest.fixture
def ldm(capsys):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    from ldmcli.cli import main

    def run(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
