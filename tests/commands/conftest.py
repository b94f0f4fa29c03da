"""The command line in fresh processes, with the tiny model of tests/engine."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import environment, make_coco, make_pipeline  # noqa: E402

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "numpy", "PIL")

POISONED = """
import sys
sys.modules.update(dict.fromkeys({heavy!r}))     # None: any import of these now fails
from ldmcli.cli import main
sys.exit(main({argv!r}))
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A whole diffusers folder with random weights."""
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """A folder of 24 captioned pictures."""
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def light(tmp_path):
    """Run the command line in a process where every heavy import fails; returns the finished process."""

    def run(*argv, heavy=HEAVY, stdin=""):
        code = POISONED.format(heavy=heavy, argv=list(argv))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), cwd=tmp_path, input=stdin)

    return run


@pytest.fixture
def ldm(capsys):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    from ldmcli.cli import main

    def run(*argv):
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
