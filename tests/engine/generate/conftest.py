"""One job that several tests draw in several ways, and the folder that one process drew."""

import shutil

import pytest
from outputs import pictures
from sharing import BATCH, COUNT, EACH, PROMPTS

from ldmcli.cli import main


@pytest.fixture(scope="session")
def job(model, tmp_path_factory):
    """The arguments but for the folder: pictures of two kinds."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = [
        f'{{"prompt": "a dog {i}"}}' if i % 3 else f'{{"prompt": "a cat {i}", "scheduler": "euler-a", "cfg": 2}}' for i in range(PROMPTS)
    ]
    file.write_text("\n".join(lines))
    drawing = ["generate", "-f", str(file), "-n", str(EACH), "--steps", "2", "--batch-size", str(BATCH), "-s", "5", "-q"]
    return [*drawing, "-m", str(model), "--device", "cpu", "-o"]


@pytest.fixture(scope="session")
def whole(job, tmp_path_factory):
    """The folder that one process drew. It is drawn here, so that forks have all that it takes."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main([*job, f"{folder}/"]) == 0
    assert len(pictures(folder)) == COUNT
    return folder


FIVE = ("a dog", "-n", "5", "--batch-size", "2", "--steps", "2", "-o")


@pytest.fixture
def draw_five(generate, tmp_path):
    """Five small pictures in batches of two, into `out`."""
    return lambda *argv, seed=("-s", "5"): generate(*FIVE, f"{tmp_path}/out/", *seed, *argv)


@pytest.fixture(scope="session")
def five(model, tmp_path_factory):
    """What the first such command wrote."""
    folder = tmp_path_factory.mktemp("five") / "out"
    assert main(["generate", *FIVE, f"{folder}/", "-s", "5", "-m", str(model), "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def begin_five(five, tmp_path):
    """Let `out` be as it is after the first `draw_five()`."""
    return lambda: shutil.copytree(five, tmp_path / "out")
