"""Pictures that start from something, drawn by the tiny model, and what they say of themselves."""

import json

import numpy as np
from PIL import Image

FAST = ("--steps", "3", "--batch-size", "1")


def drawing(generate, folder):
    """A function that draws into a folder inside this one and returns the paths in order."""

    def run(*argv, into="out", prompt="a dog"):
        code, _, err = generate(prompt, *FAST, "-q", "-o", f"{folder / into}/", *argv)
        assert code == 0, err
        return sorted(path for path in (folder / into).glob("*.png") if ".frames." not in path.name)

    return run


def facts(path):
    """The picture's own record."""
    with Image.open(path) as picture:
        return json.loads(picture.text["ldm"])


def pixels(path):
    """(H, W, 3) of integers."""
    return np.asarray(Image.open(path)).astype(int)
