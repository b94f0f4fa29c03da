"""What is drawn on a terminal (a pty), and what is printed where there is none."""

import re
import sys
import time
from pathlib import Path

import pytest
from forks import fork, program
from terminal import Terminal

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import environment, make_pipeline  # noqa: E402

import ldmcli.engine.generate.run  # noqa: E402, F401  # for the forks
from ldmcli.console import output  # noqa: E402
from ldmcli.records.notes import Memory, Note, Progress  # noqa: E402
from ldmcli.records.pictures import GenerateReport, ImageRecord  # noqa: E402

HOSTILE = "[/red] [bold]b[/bold] [link=http://x]y[/link] :smile: \x1b[31mred\x1b]0;owned\x07 \u202egnp.exe \x9b2J"
SEEN = "[/red] [bold]b[/bold] [link=http://x]y[/link] :smile: [31mred]0;owned gnp.exe 2J"

IMAGE = ImageRecord(
    path="out/[bold].png", prompt=HOSTILE, negative_prompt="", seed=1, steps=2, num_unet_calls=2, scheduler="ddim", cfg=1.0,
    width=8, height=8, truncated_tokens=0, seconds=0.1,
)  # fmt: skip


def events():
    """What a run says, every text of it hostile."""
    memory = Memory(2**30, 2**31, None, None)
    yield Note(HOSTILE)
    yield Note(HOSTILE, warning=True)
    for done in (1, 2):
        yield Progress("denoise 1-1", done, 2, memory)
        time.sleep(0.15)  # longer than the bar's refresh
    yield IMAGE
    times = dict.fromkeys(("load_s", "encode_s", "denoise_s", "decode_s", "total_s"), 0.5)
    peaks = {"peak_rss_bytes": 2**30, "peak_vram_bytes": None}
    yield GenerateReport(model="m", device="cpu", dtype="fp32", images=[IMAGE], failed=[], timing=times, memory=peaks)


def shown(*, as_json=False, quiet=False):
    """The work of a process that shows the run."""

    def work():
        output.show_generated(events(), as_json=as_json, quiet=quiet)
        return 0

    return work


def on_terminal(work, *, stdout_too=False, code=0, **variables):
    """Do this in a fork with stderr, and stdout if asked for, on a terminal. Returns (what the terminal received, what the pipe did)."""
    env = {**{k: v for k, v in environment().items() if k != "NO_COLOR"}, "TERM": "xterm-256color", "COLUMNS": "160", **variables}
    with Terminal(work, env, stdout_too=stdout_too) as terminal:
        found, screen = terminal.ended()
        assert found == code, screen
        return screen, terminal.printed()


COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38;[25])[0-9;]*m")


@pytest.fixture(scope="module")
def screen_and_pipe():
    return on_terminal(shown())


def test_hostile_text_is_drawn_literally_and_without_its_control_characters(screen_and_pipe):
    screen, _ = screen_and_pipe
    assert SEEN in screen and f"warning: {SEEN}" in screen
    for mark in ("\x07", "\u202e", "\x9b", "\x1b[31mred", "\x1b]"):
        assert mark not in screen


def test_a_terminal_gets_a_bar_with_a_memory_column(screen_and_pipe):
    screen, _ = screen_and_pipe
    assert "━" in screen and "denoise 1-1" in screen and "2/2" in screen and "1.0 GiB RSS" in screen
    assert COLOUR.search(screen)


def test_results_go_into_the_pipe_although_a_bar_is_on_the_terminal(screen_and_pipe):
    screen, pipe = screen_and_pipe
    assert pipe == "out/[bold].png\n" and "out/[bold].png" not in screen


def test_with_everything_on_the_terminal_the_path_is_there_too():
    screen, _ = on_terminal(shown(), stdout_too=True)
    assert "out/[bold].png" in screen


def test_no_color_is_honoured():
    screen, _ = on_terminal(shown(), NO_COLOR="1")
    assert "denoise 1-1" in screen and not COLOUR.search(screen)


def test_quiet_draws_no_bar_and_keeps_warnings():
    screen, pipe = on_terminal(shown(quiet=True))
    assert screen == f"warning: {SEEN}\r\n" and pipe == "out/[bold].png\n"


def test_json_into_a_pipe_is_untouched_by_the_bar():
    import json

    _, pipe = on_terminal(shown(as_json=True))
    assert json.loads(pipe)["images"][0]["prompt"] == HOSTILE


def test_without_a_terminal_the_same_text_is_literal_and_there_is_no_bar(tmp_path):
    child = fork(shown(), tmp_path / "talk", tmp_path / "printed")
    assert child.wait() == 0
    talk = child.said()
    assert child.printed() == "out/[bold].png\n"
    assert talk.startswith(f"{SEEN}\nwarning: {SEEN}\n") and "━" not in talk
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", talk)


def test_a_hostile_prompt_goes_through_generate_to_a_terminal(tmp_path):
    model = make_pipeline(tmp_path / "tiny")
    prompt = "word " * 10 + HOSTILE  # too long, so that a warning shows the end of it
    screen, pipe = on_terminal(program("generate", prompt, "-m", model, "-o", f"{tmp_path}/out/", "-s", "1", "--steps", "1"))
    assert pipe == f"{tmp_path}/out/00000_seed1.png\n"
    assert "[/red]" in screen and "[bold]b[/bold]" in screen and ":smile:" in screen
    for mark in ("\x07", "\u202e", "\x9b", "\x1b[31mred", "\x1b]"):
        assert mark not in screen


@pytest.mark.parametrize("colour", [True, False])
def test_a_page_of_the_guide_goes_through_the_pager(colour, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text('#!/bin/sh\necho "paged by LESS=$LESS"\ncat\n')
    pager.chmod(0o755)
    variables = {"PAGER": str(pager), "COLUMNS": "100", **({} if colour else {"NO_COLOR": "1"})}
    screen = on_terminal([sys.executable, "-m", "ldmcli", "help", "schedulers"], stdout_too=True, **variables)[0]
    assert "paged by LESS=FRX" in screen and "Which sampler for how many steps" in screen
    assert "```" not in screen and "| --- |" not in screen and bool(COLOUR.search(screen)) is colour
