"""Golden pictures drawn again under some conditions."""

from collections.abc import Sequence
from pathlib import Path

import golden

STEP = 12
"""A condition draws every so many lines: two of them."""


def drawn_under(drawings: Sequence[golden.Drawing], folder: Path) -> dict[golden.Drawing, golden.Compared]:
    """By drawing that this processor can do, how far it is from the golden pictures."""
    known = [drawing for drawing in drawings if drawing.instructions in golden.known_sets()]
    return {drawing: golden.compared(place) for drawing, place in golden.draw(known, folder).items()}
