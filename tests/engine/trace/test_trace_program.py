"""`generate --trace`: the few lines of Python that it gives draw the picture again."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

PROGRAMS = {
    "ddim": ["--scheduler", "ddim"],
    "no guidance": ["--cfg", "1"],
    "rescaled, negative prompt": ["--cfg-rescale", "0.7", "--negative-prompt", 'a "red" dog'],
    "stochastic": ["--scheduler", "ddpm"],
    "two calls a step": ["--scheduler", "heun", "--no-sigma-clip"],
    "bf16": ["--dtype", "bf16"],
    "wide": ["--size", "96x64", "--scheduler", "unipc", "--spacing", "trailing"],
    "walked by diffusers": ["--scheduler", "deis", "--no-sigma-clip"],
    "weighted": ["--weighting", "a1111"],
    "long, weighted": ["--weighting", "a1111", "--long-prompts", "--negative-prompt", "[red] circle"],
    "long negative prompt": ["--long-prompts", "--negative-prompt", "red circle, " * 6],
    "guided in the middle": ["--cfg-interval", "0.3,0.7"],
    "guided in the middle, all at once": [
        "--cfg-interval", "0.3,0.7", "--cfg-rescale", "0.7", "--weighting", "a1111", "--long-prompts", "--scheduler", "heun",
    ],
    "guided at first, bf16": ["--cfg-interval", "0.5,1", "--dtype", "bf16", "--scheduler", "pndm"],
    "guided again": ["--cfg-reuse", "2"],
    "guided again in the middle, all at once": [
        "--cfg-reuse", "3", "--cfg-interval", "0.1,0.8", "--cfg-rescale", "0.7", "--scheduler", "heun",
    ],
    "guided again, bf16": ["--cfg-reuse", "2", "--dtype", "bf16", "--scheduler", "pndm"],
    "guided nowhere": ["--cfg-interval", "0.96,0.97"],
}  # fmt: skip
LONG = "a (dog:1.4), " * 6


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("how", PROGRAMS)
def test_the_fifteen_lines_draw_the_picture_again(trace, tmp_path, monkeypatch, how):
    prompt = LONG if how.startswith("long,") or "at once" in how else "it's a (dog:1.4)"
    kinds, page = trace("--steps", "5", *PROGRAMS[how], prompt=prompt)
    program = kinds["loop"][0]["program"]
    assert len(re.findall(r"<div><code>", page)) in (
        (20,) if how.startswith("guided again") else (16,) if re.search("in the middle|at first", how) else (14, 15)
    )
    monkeypatch.chdir(tmp_path)
    with torch.enable_grad():  # the program turns gradients off for good; this puts the mode back
        exec(compile(program, "again.py", "exec"), {})
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "dog.png"))
