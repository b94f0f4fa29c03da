"""The golden pictures of tests/golden, drawn again under other instruction sets, threads and forms of the networks.

    python scripts/golden.py           draw all of them under every condition and print the table; fails where one is more than 1/255 away
    python scripts/golden.py --make    make them and their table anew: after another bundled model, or a change that raises the schema

tests/golden/pictures.jsonl says what is drawn, start.png and mask.png are what some start from, table.json holds the sha256 of each one's
pixels (RGB, row by row) and of the weights. Libraries read which instructions they may use once, so each set has a process of its own.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ldmcli import __version__
from ldmcli.models.hashes import weights_hash
from ldmcli.models.source import BUNDLED
from ldmcli.records.pictures import PICTURE_SCHEMA

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
LINES = GOLDEN / "pictures.jsonl"
TABLE = GOLDEN / "table.json"
INPUTS = ("start.png", "mask.png")
FURTHEST = 1
"""Of 255, of any channel of any pixel: what the guide promises."""
DEADLINE_S = 600

SETS: dict[str, dict[str, str]] = {
    "best": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "default": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""What torch, oneDNN and MKL may use: all that the processor has, AVX2 at most, and no more than every x86-64 has."""


class Drawing(NamedTuple):
    """Pictures drawn under one condition: every `step`-th line from `first` on. again: tells repetitions apart."""

    instructions: str
    threads: int
    fuse: bool
    first: int = 0
    step: int = 1
    again: int = 0

    def __str__(self) -> str:
        part = "" if self.step == 1 else f", lines {self.first + 1} and every {self.step}th after it"
        form = "inference copy" if self.fuse else "plain networks"
        return f"{self.instructions}, {self.threads} thread(s), {form}{part}{', again' if self.again else ''}"


MADE_BY = Drawing("best", 1, True)
"""What the golden pictures were drawn under."""


class Compared(NamedTuple):
    """pictures: how many; differing: how many have another pixel; furthest: of any channel, of 255; bytes: names and whole files."""

    pictures: int
    differing: int
    furthest: int
    files: dict[str, bytes]


def known_sets() -> list[str]:
    """Those of SETS that this processor has."""
    if torch.cpu.get_capabilities().get("architecture") != "x86_64":
        return ["best"]
    return [name for name in SETS if name != "avx2" or torch.cpu.get_capabilities()["avx2"]]


def everything() -> list[Drawing]:
    """All pictures under all conditions, and once more under the first."""
    drawings = [Drawing(name, threads, fuse) for name in known_sets() for threads in (1, 2) for fuse in (True, False)]
    return [*drawings, MADE_BY._replace(again=1)]


def draw(drawings: Sequence[Drawing], into: Path) -> dict[Drawing, Path]:
    """Draw into folders, in one process for each instruction set. Raises CalledProcessError."""
    folders = {drawing: into / f"{number:02d}" for number, drawing in enumerate(drawings)}
    limiting = {name for limits in SETS.values() for name in limits} | {"OMP_NUM_THREADS"}
    plain = {name: value for name, value in os.environ.items() if name not in limiting and not name.startswith("LDM_")}
    for name in dict.fromkeys(drawing.instructions for drawing in drawings):
        tasks = [(str(folders[drawing]), drawing) for drawing in drawings if drawing.instructions == name]
        command = [sys.executable, __file__, "--draw", json.dumps(tasks)]
        environment = {**plain, **SETS[name], "HF_HUB_OFFLINE": "1"}
        subprocess.run(command, env=environment, cwd=GOLDEN, check=True, timeout=DEADLINE_S, stdout=subprocess.DEVNULL)
    return folders


def draw_here(tasks: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """What each of those processes does: the command itself, which opens the model once for all lines of a condition."""
    from ldmcli.cli import main

    for folder, fields in tasks:
        drawing = Drawing(*fields)
        os.environ["OMP_NUM_THREADS"] = str(drawing.threads)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as part:
            part.writelines(LINES.read_text(encoding="utf-8").splitlines(keepends=True)[drawing.first :: drawing.step])
            part.flush()
            form = "--fuse" if drawing.fuse else "--no-fuse"
            if code := main(["generate", "-f", part.name, form, "--device", "cpu", "-o", f"{folder}/{{seed}}.png", "-q"]):
                sys.exit(code)


def compared(folder: Path) -> Compared:
    """With the golden pictures of the same names. Raises FileNotFoundError where there is no such one."""
    paths = sorted(folder.glob("*.png"))
    furthest = [int(abs(pixels(path).astype(int) - pixels(GOLDEN / path.name)).max()) for path in paths]
    return Compared(len(paths), sum(map(bool, furthest)), max(furthest), {path.name: path.read_bytes() for path in paths})


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3) of uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def pixel_hash(path: Path) -> str:
    """sha256 of the pixels, in hex."""
    return hashlib.sha256(pixels(path).tobytes()).hexdigest()


def bundled_hashes() -> dict[str, str]:
    """sha256 of the weights that drew them, by network."""
    return {name: weights_hash(BUNDLED, name) for name in ("unet", "vae", "text_encoder")}


def golden_paths() -> list[Path]:
    """The pictures, without what they start from."""
    return sorted((path for path in GOLDEN.glob("*.png") if path.name not in INPUTS), key=lambda path: int(path.stem))


def make() -> None:
    """Draw them into tests/golden and write their table."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw([MADE_BY], Path(folder))[MADE_BY]
        for old in golden_paths():
            old.unlink()
        for new in drawn.glob("*.png"):
            (GOLDEN / new.name).write_bytes(new.read_bytes())
    table = {
        "schema": PICTURE_SCHEMA,
        "ldm": __version__,
        "torch": torch.__version__,
        "instruction_set": torch.backends.cpu.get_cpu_capability().lower(),
        "model_sha256": bundled_hashes(),
        "pixels_sha256": {path.name: pixel_hash(path) for path in golden_paths()},
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--draw", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.draw:
        return draw_here(json.loads(arguments.draw))
    if arguments.make:
        return make()
    worst, files = 0, {}
    with tempfile.TemporaryDirectory() as folder:
        print(f"golden pictures of torch {json.loads(TABLE.read_text())['torch']}, drawn by torch {torch.__version__}")
        for drawing, drawn in draw(everything(), Path(folder)).items():
            found = compared(drawn)
            worst, files[drawing] = max(worst, found.furthest), found.files
            print(f"{drawing}: {found.differing} of {found.pictures} differ, by at most {found.furthest} of 255")
    same = files[MADE_BY] == files[MADE_BY._replace(again=1)]
    print(f"the same conditions once more: {'the same bytes' if same else 'OTHER BYTES'}")
    sys.exit(worst > FURTHEST or not same)


if __name__ == "__main__":
    main()
