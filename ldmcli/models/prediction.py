"""What a model's network predicts and on which schedule: read from the folder, or found out where a checkpoint file does not say."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmcli.models.checkpoint import SCHEDULER, read_header
from ldmcli.models.layout import read_json
from ldmcli.networks.attention import TextContext
from ldmcli.networks.unet import UNet

STATED = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
"""modelspec.prediction_type in the metadata of newer files, and scheduler_config.json's word for it."""


def scheduler_config(model: Path, unet: UNet, states: Tensor) -> dict[str, Any]:
    """scheduler_config.json of a folder; of a checkpoint file what its family has. states: some encoded prompt, (1, L, D).

    SD 1.x files predict epsilon unless they say otherwise. SD 2.x were published with either, so the network is asked.
    """
    if model.is_dir():
        return read_json(model / "scheduler" / "scheduler_config.json")
    stated = read_header(model)[1].get("modelspec.prediction_type") if model.suffix == ".safetensors" else None
    kind = STATED.get(stated or "")
    if kind is None:
        second = unet.config.use_linear_projection
        kind = "v_prediction" if second and not predicts_noise(unet, states) else "epsilon"
    return {**SCHEDULER, "prediction_type": kind}


@torch.no_grad()
def predicts_noise(unet: UNet, states: Tensor) -> bool:
    """Whether a network was trained on epsilon. At t = 999 almost all is noise, so that epsilon is nearly the input itself;
    v is there minus the picture (Salimans & Ho 2022, sec. 4), which has nothing to do with the input. states: (1, L, D)."""
    noise = torch.randn((1, unet.config.in_channels, 16, 16), generator=torch.Generator().manual_seed(0))
    answer = unet(noise, torch.tensor([999.0]), TextContext(states))
    return bool(torch.cosine_similarity(answer.flatten(), noise.flatten(), dim=0) > 0.5)
