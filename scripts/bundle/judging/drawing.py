"""Pictures to be judged: drawn by `ldm generate` itself and kept, and the training pictures that they are compared with."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from ldmcli.data.pictures import read_square
from ldmcli.reports.sheets import contact_sheet

SIDE = 64
"""Pixels of the bundled model's pictures."""


@dataclass(frozen=True)
class Drawer:
    """Draws with one model. folder: keeps the pictures, so that a second run draws only what is missing; flags: further options."""

    model: str
    folder: Path
    flags: tuple[str, ...] = ()

    def draw(self, part: str, prompts: Sequence[str], seeds: int, flags: Sequence[str] = ()) -> Tensor:
        """Seeds 0 .. seeds - 1 of each prompt, prompt by prompt: (prompts * seeds, 3, SIDE, SIDE) uint8.

        flags: of this part only. With --sweep every combination of a prompt follows the one before, seed by seed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        listed = self.folder / f"{part}.jsonl"
        listed.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts), encoding="utf-8")
        command = [sys.executable, "-m", "ldmcli", "generate", "-f", str(listed), "-n", str(seeds), "--seed", "0", "--json", "--resume"]
        command += ["-m", self.model, "--batch-size", "16", "-o", f"{self.folder / part}/", *self.flags, *flags]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return torch.stack([read_square(Path(image["path"]), SIDE) for image in report["images"]])


def fingerprint(pictures: Tensor, side: int = 32) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 3 * side * side) in [0, 1]: area-averaged pixels."""
    return F.adaptive_avg_pool2d(pictures.float() / 255, side).flatten(1)


def as_pillow(pictures: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) uint8 -> one Pillow picture each."""
    return [Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()) for picture in pictures]


def judged_sheet(pictures: Tensor, labels: Sequence[str], right: Sequence[bool], columns: int) -> Image.Image:
    """A contact sheet with a red frame around what was not right."""
    colours = ["white" if hit else "red" for hit in right]
    framed = [ImageOps.expand(picture, 2, colour) for picture, colour in zip(as_pillow(pictures), colours, strict=True)]
    return contact_sheet(framed, columns, labels=labels, gap=2)
