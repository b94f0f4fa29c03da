"""How a command of README and guide is run, with small settings where it is long, and how what it prints is compared."""

import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import typer
from blocks import ROOT, Typed

from ldmcli.cli import app, main
from ldmcli.commands.app import SUMMARIES
from ldmcli.commands.settings import Invocation
from ldmcli.config.training import TrainConfig

NETWORK, ANOTHER = "it downloads a model", "it is another program, which does not run in this process"
LONG = "it takes twenty seconds on any model, and tests/engine/bench runs it"
ONLY_PARSED = {
    "CompVis/": NETWORK,
    "stable-diffusion-v1-5/": NETWORK,
    "--pixel-space": LONG,
    "--compare diffusers": LONG,
    "-m runs/style": "the model that it draws with comes from the network",
    "s3://": "it needs a bucket; tests/engine/test_remote_runs.py has one",
    "--stream": "it needs shards; tests/engine/train/test_streaming.py has them",
    "torchrun ": ANOTHER,
    "accelerate launch ": ANOTHER,
    "sbatch ": ANOTHER,
}
"""What a command begins with or holds -> why it is read, and not run."""

ELSEWHERE = (
    "scripts/demo",
    "scripts/test",
    "scripts/fuzz",
    "python3 -m venv",
    "pip install",
    "pipx install",
    "uv tool",
    "python scripts/",
    "hf ",
)
"""Installing and scripts: tests/scripts has those that can be tested."""

SMALL = {
    "generate": "--steps 3",
    "compare-schedulers": "--schedulers ddim,unipc --steps 2 --seeds 1 --reference-steps 4 --clip-model none",
    "bench": "--runs 1 --warmup 1 --steps 1 --dtype fp32 --batch-size 1 --size 16",
    "train-vae": "--max-steps 2 --size 32 --batch-size 4 --channels 8,8,16,16 --layers 1 --held-out 0.2",
    "train-unet": "--max-steps 1 --size 32 --batch-size 4 --channels 32 --layers 1 --held-out 0.2 --prompts scripts/bench/prompts.txt",
}
"""Added at the end, where it wins."""

ALONE = ("bench", "compare-schedulers", "train-vae", "train-unet", "help")
"""Run once, however many pages have it: nothing that follows looks at what it leaves, but for runs, which all pages share."""

AS_TYPED = re.compile("--from-image|--merge|--list-|-o pics/|--sweep steps")
"""Of what prints figures, or has its own steps."""

ABOUT = 0.1
"""How far a figure that is shown may be from what comes out: pixels differ by processor, and scores with them."""


DRAWING = ("first-picture", "start-from-a-picture", "prompts", "batches", "measuring", "reproducibility", "distributed")
"""Pages that need no run of another page."""


def run_page(page: Iterable[Typed], done: set, capsys, monkeypatch) -> None:
    """Its commands, in order. What is drawn over itself a second time is compared with the first, and not drawn again."""
    commands, code, drawn = list(page), 0, {}
    for command, after in zip(commands, [*commands, None][1:], strict=True):
        same = tuple(word for word in command.words if word != "--overwrite")
        if command.command == "echo $?":
            assert command.shown == (str(code),), command.where
        elif command.words[0] == "cat":
            Path(command.words[1]).write_text("\n".join(command.shown) + "\n")
        elif same != tuple(command.words) and same in drawn:
            assert command.shown == drawn[same], command.where
        elif not is_elsewhere(command):
            expected = int(after.shown[0]) if after and after.command == "echo $?" else 0
            code = run(command, expected, done, capsys, monkeypatch)
            drawn[same] = command.shown


def run(command: Typed, expected: int, done: set, capsys, monkeypatch) -> int:
    """The exit code. What runs a second time, and only leaves a run, is not run again."""
    if any(command.command.startswith(mark) or f" {mark}" in command.command for mark in ONLY_PARSED):
        parse(command)
        return 0
    argv = small(command.words[1:])
    if argv[0] in ALONE and tuple(argv) in done:
        return 0
    done.add(tuple(argv))
    if command.piped:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(command.piped.encode())))
    code = main(argv)
    out, err = capsys.readouterr()
    assert code == expected, f"{command.where}: {command.command}\n{err}"
    compare(command, out.splitlines()[: command.lines_shown])
    return code


def small(argv: list[str]) -> list[str]:
    """With SMALL."""
    typed_settings = AS_TYPED.search(" ".join(argv))
    return argv if typed_settings and argv[0] == "generate" else [*argv, *SMALL.get(argv[0], "").split()]


def compare(command: Typed, printed: list[str]) -> None:
    """Where something is shown: the words are the same, and the figures nearly."""
    if not command.shown:
        return
    shown = [line for line in command.shown if line != "..."]
    printed = [line for line in printed if line.strip()]
    if command.shown[-1] == "..." or command.shown[0] == "...":
        printed = [line for line in printed if words_of(line) in map(words_of, shown)]
    assert list(map(words_of, printed)) == list(map(words_of, shown)), command.where
    for there, here in zip(printed, shown, strict=True):
        wrong = [(a, b) for a, b in zip(figures(there), figures(here), strict=True) if abs(a - b) > ABOUT * max(abs(a), 1)]
        assert not wrong, f"{command.where}: {here!r} is {there!r}"


def words_of(line: str) -> str:
    """Without figures that are not part of a name, and without the widths of columns."""
    return re.sub(r"(?<![\w.+-])-?\d+\.\d+(?!\w)", "#", " ".join(line.split()))


def figures(line: str) -> list[float]:
    """The decimals of a line."""
    return [float(number) for number in re.findall(r"(?<![\w.+-])-?\d+\.\d+(?!\w)", line)]


def is_elsewhere(command: Typed) -> bool:
    """A script must at least be there, with the options that are named."""
    for name in re.findall(r"(?<!\S)(scripts/[\w/.-]+)", command.command):
        assert (ROOT / name).exists(), f"{command.where}: {name}"
    return command.command.startswith(ELSEWHERE)


def parse(command: Typed) -> None:
    """The options are known, and their values can be."""
    words = command.words
    start = next(number for number, word in enumerate(words) if word in SUMMARIES)
    declared = typer.main.get_command(app).commands[words[start]]
    context = declared.make_context(words[start], words[start + 1 :])
    invocation = Invocation(words[start], declared.callback.kinds, context.params)
    for kind in declared.callback.kinds:
        invocation.options(kind, **({"output": Path("run")} if issubclass(kind, TrainConfig) else {}))
