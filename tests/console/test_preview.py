"""`generate --preview` on a terminal (a pty): the picture is shown on the way, and comes out the same."""

import re
import termios

import pytest
from forks import fork, program
from test_terminal import on_terminal
from tiny import make_pipeline

BLOCK = "\N{UPPER HALF BLOCK}"


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A command line without a place to write to."""
    model = make_pipeline(tmp_path_factory.mktemp("models") / "tiny")
    return ["generate", "a dog", "-n", "3", "--batch-size", "2", "-m", model, "-s", "5", "--steps", "20", "--device", "cpu", "-o"]


def on_terminal_of(rows, columns, *argv, code=0):
    """What a terminal of this size received from a command that ends with this code."""

    def work():
        termios.tcsetwinsize(0, (rows, columns))
        return program(*argv)()

    screen, _ = on_terminal(work, stdout_too=True, code=code, COLORTERM="truecolor")
    return screen


@pytest.fixture(scope="module")
def shown(command, tmp_path_factory):
    """(what the terminal received, the folder of pictures)."""
    folder = tmp_path_factory.mktemp("shown")
    return on_terminal_of(30, 80, *command, f"{folder}/", "--preview"), folder


def test_the_picture_is_drawn_in_half_blocks_where_the_terminal_can_do_no_better(shown):
    screen, _ = shown
    colours = set(re.findall(r"38;2;(\d+;\d+;\d+);48;2;\d+;\d+;\d+m" + BLOCK, screen))
    assert len(colours) > 20
    assert "denoise 1-2" in screen and "denoise 3-3" in screen


def test_the_finished_picture_stays_when_the_bar_is_gone(shown):
    screen, _ = shown
    last = screen[screen.rindex("\x1b[2K") :]
    assert last.count(BLOCK) > 20 and "━" not in last


def test_the_place_in_the_whole_job_is_shown(shown):
    screen, _ = shown
    assert "1 of 3" in screen and re.search(r"3 of 3, \d:\d\d", screen)


def test_pictures_are_the_same_bytes_with_and_without(shown, command, tmp_path):
    _, folder = shown
    child = fork(program(*command, f"{tmp_path}/", "-q"), tmp_path / "talk")
    assert child.wait() == 0, child.said()
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(names) == 3
    assert [(folder / name).read_bytes() for name in names] == [(tmp_path / name).read_bytes() for name in names]


def test_a_pipe_behind_it_is_refused(command, tmp_path):
    child = fork(program(*command, f"{tmp_path}/new/", "--preview"), tmp_path / "talk", tmp_path / "printed")
    assert child.wait() == 2 and child.printed() == "" and not (tmp_path / "new").exists()
    assert child.said().startswith("error: --preview needs a terminal.\n")


def test_a_terminal_that_does_not_know_its_size_is_refused(command, tmp_path):
    screen = on_terminal_of(0, 0, *command, f"{tmp_path}/new/", "--preview", code=2)
    assert "error: --preview needs a terminal that knows its size." in screen and not (tmp_path / "new").exists()


def test_looking_takes_a_bounded_share_of_the_time(monkeypatch):
    """A clock of our own: steps of 10 ms, looks of 100 ms."""
    from types import SimpleNamespace

    import torch

    from ldmcli.engine.sampling import preview

    now, looks = [0.0], []

    def decode(latents):
        now[0] += 0.1
        looks.append(now[0])
        return torch.zeros(len(latents), 3, 8, 8)

    monkeypatch.setattr(preview.time, "perf_counter", lambda: now[0])
    watch = preview.PreviewWatcher(SimpleNamespace(decode=decode))
    for _ in range(1000):
        now[0] += 0.01
        list(watch.look(SimpleNamespace(denoised=torch.zeros(2, 4, 1, 1))))
    assert len(looks) > 10 and 0.1 * len(looks) / now[0] <= preview.SHARE + 0.01
