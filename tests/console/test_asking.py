"""`ldm generate` without a prompt, on a terminal (a pty) and elsewhere."""

import json
import os
import pty
import sys
from pathlib import Path

import pytest
from forks import program
from running import finished
from terminal import Terminal

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import environment, make_pipeline  # noqa: E402

import ldmcli.engine.generate.run  # noqa: E402, F401  # for the forks
from ldmcli.models.examples import ANY_MODEL, MOST, example_prompts  # noqa: E402
from ldmcli.models.source import BUNDLED  # noqa: E402

ENTER, CTRL_C, CTRL_D = "\n", "\x03", "\x04"
FRESH = [sys.executable, "-m", "ldmcli"]
COMMAND = ["generate", "--steps", "1", "--seed", "1"]


def with_examples(folder: Path, examples: object) -> Path:
    index = json.loads((folder / "model_index.json").read_text())
    index["_ldm"] = {**index.get("_ldm", {}), "examples": examples}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return with_examples(make_pipeline(tmp_path_factory.mktemp("model") / "tiny"), ["a green kite", "a ship"])


def on_terminal(command, keys, folder, *, fresh=False):
    """Type `keys`, if any, once the question is there. Returns (exit code, what stood on the screen)."""
    process = [*FRESH, *command] if fresh else program(*command)
    with Terminal(process, {**environment(), "TERM": "xterm"}, cwd=folder) as terminal:
        if keys:
            terminal.until("Prompt (Enter for")
            terminal.press(keys)
        return terminal.ended()


def prompts_drawn(folder):
    rows = [json.loads(line) for line in (folder / "outputs/manifest.jsonl").read_text().splitlines()]
    return [row["prompt"] for row in rows if row.get("status") == "ok"]


@pytest.mark.parametrize(("keys", "drawn"), [(ENTER, "a green kite"), ("  two ducks \n", "two ducks"), ("a ducc\x7fk\n", "a duck")])
def test_the_answer_is_drawn_and_enter_takes_the_first_example(model, tmp_path, keys, drawn):
    code, screen = on_terminal([*COMMAND, "-m", str(model)], keys, tmp_path, fresh=keys == ENTER)
    assert code == 0, screen
    assert f'  ldm generate "a ship" -m {model}' in screen
    assert prompts_drawn(tmp_path) == [drawn]


@pytest.mark.parametrize(
    ("key", "exit_code", "message"), [(CTRL_D, 2, "error: no prompt was given."), (CTRL_C, 130, "error: interrupted.")]
)
def test_leaving_draws_nothing(model, tmp_path, key, exit_code, message):
    code, screen = on_terminal([*COMMAND, "-m", str(model)], key, tmp_path)
    assert code == exit_code and message in screen
    assert "Traceback" not in screen and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_a_script_is_not_asked(model, tmp_path, flag):
    code, screen = on_terminal([*COMMAND, "-m", str(model), flag], "", tmp_path)
    assert code == 2 and "error: no prompt was given." in screen and "Prompt (" not in screen


def test_where_the_result_goes_into_a_pipe_nobody_is_asked(model, tmp_path):
    ours, theirs = pty.openpty()
    done = finished([*FRESH, *COMMAND], stdin=theirs, env=environment(), cwd=tmp_path)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2 and done.stdout == "" and "error: no prompt was given." in done.stderr


def test_the_bundled_model_has_examples_of_its_own():
    listed = example_prompts(BUNDLED)
    assert 4 <= len(listed) <= MOST and listed != ANY_MODEL


HOSTILE = ["\x1b[2J a", 'a "quoted" dog', "$(reboot)", "`reboot`", "a\nb", "", 3, None]


@pytest.mark.parametrize(
    ("listed", "shown"), [(HOSTILE, ANY_MODEL), ([*HOSTILE, " a dog "], ("a dog",)), ("a dog", ANY_MODEL), (["x"] * 9, ("x",) * MOST)]
)
def test_examples_are_only_what_can_be_typed_as_it_is_shown(published, tmp_path, listed, shown):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model_index.json").write_text((published / "model_index.json").read_text())
    assert example_prompts(folder) == ANY_MODEL
    assert example_prompts(with_examples(folder, listed)) == shown
