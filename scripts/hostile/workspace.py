"""Whole inputs to spoil, each made once and copied, and the rows of the table of bad inputs."""

import functools
import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
for place in ("tests", "tests/engine", "tests/models"):
    sys.path.insert(0, str(ROOT / place))

GIB = 2**30


@dataclass(frozen=True)
class Row:
    """A bad input. make: its arguments, from an own folder; code: exit codes that are right; words: in what is said on stderr.

    draws: it goes on and draws or trains, so that seconds and memory are those of that.
    """

    name: str
    make: Callable[["Workspace", Path], Sequence[object]]
    code: int | tuple[int, ...]
    words: str = "error: "
    draws: bool = False


class Workspace:
    """Makes what rows begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: list[Any] = []
        """Locks, until the end."""

    @functools.cached_property
    def model(self) -> Path:
        """A whole pipeline of a few kilobytes."""
        from tiny import make_pipeline

        return make_pipeline(self.folder / "tiny")

    @functools.cached_property
    def coco(self) -> Path:
        """24 pictures with captions."""
        from tiny import make_coco

        return make_coco(self.folder / "coco")

    @functools.cached_property
    def single(self) -> Path:
        """A checkpoint file, and a tokenizer beside it in diffusers/."""
        from families import build, write_configs

        folder = self.folder / "sd"
        build(write_configs(folder / "configs", 1), folder)
        return folder / "single.safetensors"

    @functools.cached_property
    def drawn(self) -> Path:
        """A picture of ours."""
        from ldmcli.cli import main

        path = self.folder / "drawn.png"
        assert main(["generate", "a dog", "-m", str(self.model), "--steps", "1", "-s", "5", "--device", "cpu", "-o", str(path), "-q"]) == 0
        return path

    @functools.cached_property
    def run(self) -> Path:
        """A VAE that was trained for two steps, with a checkpoint of each."""
        from ldmcli.cli import main

        path = self.folder / "run"
        assert main([*map(str, train(self.coco, path, "--max-steps", "2", "--save-every", "1")), "-q"]) == 0
        return path

    def spoilt(self, here: Path, changes: dict[str, Any], of: Path | None = None) -> Path:
        """A copy of a folder with other files in it: bytes, JSON, a function of the old body, or None for a file that is gone."""
        copy = here / "copy"
        shutil.copytree(of or self.model, copy)
        for name, change in changes.items():
            path = copy / name
            if change is None:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                continue
            if callable(change):
                change = change(json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes())
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(change if isinstance(change, bytes) else json.dumps(change).encode())
        return copy

    def picture(self, here: Path, name: str = "p.png", **facts: Any) -> Path:
        """Our picture with other facts in its record."""
        from outputs import spoil

        path = Path(shutil.copy(self.drawn, here / name))
        spoil(path, **facts)
        return path


def draw(model: Path, *more: object) -> list[object]:
    """A short `generate`."""
    return ["generate", "a dog", "-m", model, "--device", "cpu", "-s", "5", "--steps", "1", "-o", "out/", *more]


def train(data: Path, run: Path, *more: object) -> list[object]:
    """A short `train-vae`."""
    small = "--channels 8,16 --size 16 --batch-size 4 --max-steps 1 --device cpu --sample-every 1000 --val-every 1000"
    return ["train-vae", "--data", data, "-o", run, *small.split(), *more]


def sparse(path: Path, size: int, begin: bytes = b"") -> Path:
    """A file that begins with these bytes and takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(begin)
    os.truncate(path, size)
    return path


def deep(levels: int) -> bytes:
    """Brackets within brackets."""
    return b"[" * levels + b"]" * levels


def bomb(path: Path, side: int = 20_000) -> Path:
    """A PNG whose header says 400 megapixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 48_000) + b"IDAT" + b"\0" * 48_004)
    return path


def written(path: Path, body: bytes | str | Any) -> Path:
    """A file of bytes, text or JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass") if isinstance(body, str) else json.dumps(body).encode()
    path.write_bytes(raw)
    return path
