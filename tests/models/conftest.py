"""Stable Diffusion 1.x and 2.x of small width, each as a diffusers folder, with fp16 files and as a single file."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))  # for `families`, which the folders beside this one share


@pytest.fixture(scope="session", params=[1, 2])
def family(request):
    return request.param


@pytest.fixture(scope="session")
def built(family, tmp_path_factory):
    """The folder with all three forms of one family."""
    from families import build, write_configs  # diffusers takes seconds to import

    folder = tmp_path_factory.mktemp(f"sd{family}")
    build(write_configs(folder / "configs", family, {1: "epsilon", 2: "v_prediction"}[family]), folder)
    if family == 2:  # as published: a last layer that is not run, and what only CLIP's own training needs
        tensors = load_file(folder / "single.safetensors")
        prefix = "cond_stage_model.model."
        last = {key.replace(".1.", ".23.", 1): value for key, value in tensors.items() if f"{prefix}transformer.resblocks.1." in key}
        extra = {f"{prefix}logit_scale": torch.tensor(4.6), f"{prefix}text_projection": torch.randn(64, 64)}
        whole = {key: value.clone() for key, value in {**tensors, **last, **extra}.items()}
        save_file(whole, folder / "single.safetensors", {"modelspec.prediction_type": "v"})
    return folder
