"""Stable Diffusion 1.x and 2.x of small width, each as a diffusers folder, with fp16 files and as a single file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `families`, which the folders beside this one share


@pytest.fixture(scope="session", params=[1, 2])
def family(request):
    return request.param


@pytest.fixture(scope="session")
def built(family, stable_diffusion):
    """The folder with all three forms of one family."""
    return stable_diffusion(family)
