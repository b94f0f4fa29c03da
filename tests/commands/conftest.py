"""The command line in processes of its own, with the tiny model of tests/engine."""

import sys
from pathlib import Path

import pytest
from light_process import LightProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import environment, make_coco, make_pipeline  # noqa: E402

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "numpy", "PIL")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A whole diffusers folder with random weights."""
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """A folder of 24 captioned pictures."""
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="session")
def light_processes():
    """One for each list of packages that must not be imported."""
    made = {}
    yield lambda heavy: made.get(heavy) or made.setdefault(heavy, LightProcess(heavy, environment()))
    for process in made.values():
        process.close()


@pytest.fixture
def light(light_processes, tmp_path):
    """Run the command line where every heavy import fails; returns the finished process."""
    return lambda *argv, heavy=HEAVY, stdin="": light_processes(heavy).run(argv, tmp_path, stdin)


@pytest.fixture
def ldm(capsys):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    from ldmcli.cli import main

    def run(*argv):
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
