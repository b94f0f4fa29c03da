"""What the commands call to read a stranger's file, each with the file alone in a folder; and bodies that take a library to make."""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from hostile import seeds
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.reading import read_keys
from ldmcli.config.toml_file import read_config_file
from ldmcli.data.layouts import load_captioned
from ldmcli.data.parquet import read_cell
from ldmcli.data.picture_prompts import is_sheet, read_origin
from ldmcli.diffusion.schedule import schedule_from_file
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.generate.picture_record import check_size, read_record
from ldmcli.models.corrections import read_config
from ldmcli.models.tokenizer import load_tokenizer
from ldmcli.outputs.manifest import Manifest
from ldmcli.prompts.syntax import syntax_note, without_syntax
from ldmcli.prompts.weighting import parse_weights
from ldmcli.runtime.pictures import BadPicture


def use_tokenizer(folder: Path) -> None:
    """Load it and cut a prompt."""
    tokenizer = load_tokenizer(folder, 77)
    tokenizer.encode("a Dog <cat> caf\u00e9 <|endoftext|>")


def use_schedule(folder: Path) -> None:
    """Its schedule, walked by a solver."""
    schedule = schedule_from_file(read_config(folder, "scheduler").values)
    make_solver("ddim", schedule, 10)


def go_on(folder: Path) -> None:
    """As `generate --resume` does."""
    manifest = Manifest(folder)
    manifest.started("0" * 16, None)
    manifest.claim("1" * 16, seed=1, pictures=1, threads=1, free=lambda: 0)
    for row in manifest.pictures.values():
        manifest.finished(row)


def read_cells(folder: Path) -> None:
    """Every picture of a Parquet file."""
    for image in load_captioned(folder / "0.parquet").images:
        with suppress(BadPicture):
            read_cell(image)


def read_options(folder: Path) -> None:
    """As --config does."""
    read_keys((GenerateConfig,), read_config_file(folder / "o.toml"), "o.toml", "generate")


def record_of(name: str) -> Callable[[Path], None]:
    """What made this picture, and its size."""

    def read(folder: Path) -> None:
        check_size(folder / name, read_record(folder / name))

    return read


def origin_of(name: str) -> Callable[[Path], None]:
    """The prompt in a picture, of ours or of others."""

    def read(folder: Path) -> None:
        is_sheet(folder / name)
        read_origin(folder / name)

    return read


def text_of(read: Callable[[str], object]) -> Callable[[Path], None]:
    """A reader of text, for a file."""
    return lambda folder: read((folder / "text").read_text(encoding="utf-8", errors="replace")) and None


def read_prompt(text: str) -> None:
    """Weights, other tools' syntax and the note about it."""
    parse_weights(text)
    without_syntax(text, weighting="a1111")
    syntax_note([(text, "none")])


def png_of(key: str) -> Callable[[bytes], bytes]:
    """A PNG with the body under this key."""
    return lambda body: seeds.picture(texts={key: body.decode("utf-8", "replace").replace("\ufffd", "?")})


def npy() -> bytes:
    """A small array as a file."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3), "float16"))
    return buffer.getvalue()


def pickled() -> bytes:
    """A small checkpoint as torch.save writes it."""
    import torch

    buffer = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.zeros(2, 3)}, "step": 7}, buffer)
    return buffer.getvalue()
