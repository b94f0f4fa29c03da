"""What every part needs: the model's pictures, the training pictures and the scorer, each loaded when it is first asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from judging.drawing import SIDE, Drawer, fingerprint
from judging.matching import Matcher
from judging.things import Wardrobe
from ldmcli.data.pictures import read_square
from ldmcli.models.scorer import Scorer, load_scorer

Row = TypeVar("Row")


@dataclass(frozen=True)
class Singles:
    """The training pictures that show one thing on white. fingerprints: (N, 3072); emoji: the code of each."""

    fingerprints: Tensor
    emoji: list[str]


@dataclass(frozen=True)
class Judge:
    """data: of build_dataset.py; seeds: pictures per prompt; limit: look at so many evenly spaced prompts of each part only."""

    data: Path
    drawer: Drawer
    seeds: int
    limit: int | None = None
    scorer_name: str = "bundled"
    packages: Path | None = None

    def some(self, rows: Sequence[Row]) -> list[Row]:
        """All rows, or `limit` of them, evenly spaced."""
        if self.limit is None or self.limit >= len(rows):
            return list(rows)
        return [rows[i * len(rows) // self.limit] for i in range(self.limit)]

    @cached_property
    def rows(self) -> list[dict]:
        """What the data set says of each training picture; one that it lists several times counts once."""
        listed = json.loads((self.data / "annotations/captions_train2017.json").read_text(encoding="utf-8"))["images"]
        return list({row["file_name"]: row for row in listed}.values())

    @cached_property
    def singles(self) -> Singles:
        rows = [row for row in self.rows if row["kind"] == "single"]
        pixels = torch.stack([self.read(row) for row in rows])
        return Singles(fingerprint(pixels), [row["emoji"] for row in rows])

    @cached_property
    def wardrobe(self) -> Wardrobe:
        """From the packages that build_dataset.py leaves beside its data."""
        packages = self.packages or self.data.resolve().with_name(self.data.resolve().name + "-packages") / "node_modules"
        if not packages.is_dir():
            raise SystemExit(f"{packages} is missing: run build_dataset.py, or pass --packages NODE_MODULES.")
        return Wardrobe(packages)

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher(self.wardrobe)

    @cached_property
    def scorer(self) -> Scorer:
        return load_scorer(self.scorer_name)

    def read(self, row: dict) -> Tensor:
        """A training picture, (3, SIDE, SIDE) uint8."""
        return read_square(self.data / "train2017" / row["file_name"], SIDE)
