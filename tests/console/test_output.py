"""Records in, text out."""

import json
import re
from pathlib import Path

import pytest

from ldmcli.console import output, progress
from ldmcli.console.text import printable
from ldmcli.records.notes import Memory, Note, Place, Progress, Saved
from ldmcli.records.training import TrainDone, TrainStep
from ldmcli.records.words import counted

STEP = TrainStep(step=3, total=9, terms={"loss": 0.51234, "kl": 7.0, "grad_norm": 1.0}, lr=0.1, images_per_s=123.4, seconds=0.1)


def test_printable_keeps_text_and_drops_what_drives_a_terminal():
    kept = "a caf\xe9 \N{DOG FACE} \u6f22\u5b57 [bold]"
    assert printable(kept) == kept
    unsafe = [
        *map(chr, range(32)),
        *map(chr, range(0x7F, 0xA0)),
        "\u200e",
        "\u200f",
        *"\u202a\u202b\u202c\u202d\u202e",
        *"\u2066\u2067\u2068\u2069",
    ]
    for character in unsafe:
        assert printable(f"a{character}b") == "ab"


def test_an_error_is_one_line_and_its_hint_another(capsys):
    output.show_error("two\nlines", "and\na hint")
    assert capsys.readouterr().err == "error: twolines\nanda hint\n"


def test_the_json_of_anything_is_ascii_and_one_line(capsys):
    output.show_json({"prompt": "\x1b \u202e \udcff \N{DOG FACE}"})
    text = capsys.readouterr().out
    assert text.isascii() and text.count("\n") == 1 and json.loads(text)["prompt"] == "\x1b \u202e \udcff \N{DOG FACE}"


@pytest.fixture
def done():
    return [Saved("samples", Path("run/samples/x.png")), TrainDone(Path("run"), Path("run/model"), 9, {"val_loss": 0.123456789})]


def test_a_training_run_ends_with_its_model_folder(capsys, done):
    output.show_training(iter(done), as_json=False, quiet=False)
    captured = capsys.readouterr()
    assert captured.out == "run/model\n" and captured.err == "samples: run/samples/x.png\nval_loss 0.12346\n"


def test_a_quiet_training_run_prints_the_folder_alone(capsys, done):
    output.show_training(iter([Note("talk"), *done]), as_json=False, quiet=True)
    assert capsys.readouterr() == ("run/model\n", "")


def test_without_a_terminal_a_plain_line_comes_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    memory = Memory(3 * 2**29, 2**31, None, None)
    step = TrainStep(**{**vars(STEP), "memory": memory})
    with progress.LiveProgress(enabled=True) as live:
        live.update(Progress("encode", 1, 4))
        live.update(step)
    assert capsys.readouterr().err == "encode 1/4\ntrain 3/9 loss 0.5123 kl 7 123 img/s 1.5 GiB RSS\n"


def test_where_the_whole_job_is_and_what_is_left_of_it(capsys, monkeypatch):
    """A clock of our own: 8 of 72 pictures take 8 s."""
    now = [0.0]
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.LiveProgress(enabled=True) as live:
        for first in (8, 16, 24):
            live.update(Progress(f"denoise {first + 1}-{first + 8}", 10, 20, place=Place(first + 1, 72, first + 4)))
            now[0] += 8
            if first == 16:  # another stage in between has a clock of its own
                live.update(Progress("denoise 1-8", 1, 20))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "denoise 9-16 10/20 9 of 72",
        "denoise 17-24 10/20 17 of 72, 0:52",
        "denoise 1-8 1/20",
        "denoise 25-32 10/20 25 of 72, 0:44",
    ]


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (41.4, "0:41"), (59.6, "1:00"), (725, "12:05"), (3723, "1:02:03")])
def test_time_left_as_a_clock_shows_it(seconds, said):
    assert progress.as_clock(seconds) == said


COUNTED = [((1, "picture"), "1 picture"), ((0, "picture"), "0 pictures"), ((3, "picture"), "3 pictures"), ((1500, "step"), "1,500 steps"),
           ((2, "entry", "entries"), "2 entries"), ((1, "entry", "entries"), "1 entry")]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), COUNTED)
def test_one_is_singular(arguments, said):
    assert counted(*arguments) == said


def test_pictures_captions_and_the_like_are_counted_in_one_place_only():
    nouns = "|".join(f"{noun}s" for noun in ("picture", "caption", "thread", "shard", "token", "configuration"))
    by_hand = re.compile(r"\{[^{}\"']*\} (?:unusable )?(?:" + nouns + r")\b")
    package = Path(progress.__file__).parents[1]
    found = [f"{path.name}: {match[0]}" for path in package.rglob("*.py") for match in by_hand.finditer(path.read_text(encoding="utf-8"))]
    # numbers that are never 1
    assert sorted(found) == [
        "fid.py: {count:,} pictures",
        "scorer.py: {len(captions)} captions",
        "scorer.py: {len(pictures)} pictures",
        "statistics.py: {FEWEST} pictures",
        "unet_caches.py: {window} tokens",
    ]


def test_lines_do_not_come_faster_than_that(capsys):
    with progress.LiveProgress(enabled=True) as live:
        for number in range(100):
            live.update(Progress("encode", number, 100))
    assert capsys.readouterr().err == ""


def test_on_a_gpu_the_memory_column_is_vram_now_and_at_the_peak():
    assert progress.memory_column(Memory(2**30, 2**30, 2**30, 3 * 2**30)) == "1.0/3.0 GiB VRAM"
    assert progress.memory_column(None) == ""


def test_the_bar_is_gone_when_the_run_fails(monkeypatch):
    closed = []
    monkeypatch.setattr(progress.LiveProgress, "__exit__", lambda self, *error: closed.append(error[0]))

    def events():
        yield Note("fine")
        raise ValueError("not fine")

    with pytest.raises(ValueError):
        output.show_training(events(), as_json=False, quiet=False)
    assert closed == [ValueError]
