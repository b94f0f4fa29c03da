"""Fixtures of every folder here. The helpers behind them are modules beside this one."""

import os
import shutil
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """A tiny pipeline folder as diffusers saves it."""
    from published import write_pipeline  # diffusers takes seconds to import; most tests do without

    return write_pipeline(tmp_path_factory.mktemp("published"))


@pytest.fixture
def own_copy(published, tmp_path) -> Path:
    """The same folder, to be changed at will."""
    return Path(shutil.copytree(published, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A CLIPModel folder with tiny random weights."""
    from tiny_clip import write_clip

    return write_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")
