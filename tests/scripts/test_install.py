"""scripts/venv and scripts/demo say what they do and do it once; and nothing claims that a package index holds ldm."""

import os
import shutil
from pathlib import Path

import pytest
from running import finished

ROOT = Path(__file__).parents[2]
STUB = '#!/usr/bin/env bash\necho "$(basename "$0") $*" >> "$(dirname "$0")/../calls"\n'


@pytest.fixture
def clone(tmp_path):
    """The scripts and what they read, with a .venv whose programs only note how they were called."""
    for name in ("scripts/venv", "scripts/demo", "scripts/constraints.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("python", "ldm"):
        (tmp_path / ".venv/bin" / name).write_text(STUB)
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    return tmp_path


def calls(clone):
    """Command lines since the last look."""
    file = clone / ".venv/calls"
    lines = file.read_text().splitlines() if file.is_file() else []
    file.unlink(missing_ok=True)
    return lines


def test_an_install_is_told_and_done_again_only_when_what_is_wanted_changes(clone):
    command = [clone / "scripts/venv", "test"]
    first = finished(command)
    assert first.returncode == 0 and first.stdout == ""
    assert [line.partition(" ")[0] for line in first.stderr.splitlines()] == ["scripts/venv:"] * 2
    assert "downloads torch" in first.stderr and calls(clone)[0].endswith("-c scripts/constraints.txt -e .[test]")
    assert finished(command).stderr == "" and calls(clone) == []
    assert "installing" in finished([clone / "scripts/venv"]).stderr and calls(clone)[0].endswith("-e .")
    with (clone / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert "installing" in finished(command).stderr and len(calls(clone)) == 1


def test_hashes_are_required_where_they_are_asked_for(clone):
    (clone / "scripts/hashes.txt").write_text("rich==15.0.0 --hash=sha256:0\n")
    done = finished([clone / "scripts/venv"], env={**os.environ, "LDM_HASHES": "1"})
    hashed, rest = calls(clone)
    assert done.returncode == 0 and hashed.endswith("--no-deps --require-hashes -r scripts/hashes.txt") and rest.endswith("-e .")
    assert finished([clone / "scripts/venv"]).returncode == 0 and len(calls(clone)) == 1  # without them it is another install


def test_an_install_that_failed_is_tried_again(clone):
    (clone / ".venv/bin/python").write_text(STUB + "exit 1\n")
    assert [finished([clone / "scripts/venv"]).returncode for _ in range(2)] == [1, 1] and len(calls(clone)) == 2


def test_the_demo_ends_with_how_to_call_ldm_next(clone):
    done = finished([clone / "scripts/demo", "a cat"])
    assert done.returncode == 0 and calls(clone)[-1] == "ldm generate a cat --seed 0 --upscale 4"
    last = done.stderr.splitlines()[-1]
    assert ".venv/bin/ldm generate" in last and "source .venv/bin/activate" in last


@pytest.mark.parametrize("where", ["ldmcli/**/*.py", "*.md"])
def test_no_hint_asks_an_index_for_ldm(where):
    files = {path: path.read_text(encoding="utf-8") for path in ROOT.glob(where)}
    assert files and [path for path, text in files.items() if "ldm-cli[" in text or "install ldm" in text] == []
