"""What a model's network predicts and on which schedule: read from the folder, or found out where a checkpoint file does not say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmcli.models.checkpoint import SCHEDULER
from ldmcli.models.compvis_yaml import stated_schedule
from ldmcli.models.corrections import read_config
from ldmcli.models.header import read_header
from ldmcli.models.layout import is_safetensors
from ldmcli.models.weights import read_tensors
from ldmcli.networks.attention import TextContext
from ldmcli.networks.unet import UNet
from ldmcli.readers.rules import check
from ldmcli.readers.tables import SCHEDULER as RULES

STATED = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
"""--prediction, and modelspec.prediction_type in the metadata of newer files, to scheduler_config.json's word for it."""
V_MARK, ZERO_SNR_MARK = "v_pred", "ztsnr"
"""Names of empty tensors that trainers put into files: the network predicts v; its schedule ends in noise alone (Lin et al. 2024)."""


def scheduler_config(model: Path, unet: UNet, states: Tensor, prediction: str | None = None) -> dict[str, Any]:
    """scheduler_config.json of a folder; of a checkpoint file what its family has. states: some encoded prompt, (1, L, D), for a file.

    prediction: epsilon or v, which wins over everything. A file may say what it predicts by marks, in its metadata or in a .yaml beside
    it, in this order; else the network is asked.
    """
    if model.is_dir():
        config = read_config(model, "scheduler").values
    else:
        config = {**SCHEDULER, **_stated(model)}
        check(config, RULES, f"{model} or the .yaml beside it")
        if prediction is None and "prediction_type" not in config:
            config["prediction_type"] = "epsilon" if predicts_noise(unet, states) else "v_prediction"
    return config if prediction is None else {**config, "prediction_type": STATED[prediction]}


def _stated(path: Path) -> dict[str, Any]:
    """What a file and the .yaml beside it say of the schedule, in the words of scheduler_config.json."""
    header = read_header(path) if is_safetensors(path) else None
    names = header.shapes if header else read_tensors(path)
    found = stated_schedule(path)
    kind = STATED.get(header.metadata.get("modelspec.prediction_type", "")) if header else None
    if kind is not None:
        found["prediction_type"] = kind
    if V_MARK in names or ZERO_SNR_MARK in names:
        found["prediction_type"] = "v_prediction"
    if ZERO_SNR_MARK in names:
        found |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return found


def with_native_size(model: Path, unet: UNet, prediction: str) -> None:
    """A checkpoint file does not say for which size it was made: with v, Stable Diffusion 2.x is the one for 768 pixels."""
    if model.is_file() and prediction == "v" and unet.config.upcast_attention:
        unet.config = replace(unet.config, sample_size=96)


@torch.no_grad()
def predicts_noise(unet: UNet, states: Tensor) -> bool:
    """Whether a network was trained on epsilon. At t = 999 almost all is noise, so that epsilon is nearly the input itself;
    v is there minus the picture (Salimans & Ho 2022, sec. 4), which has nothing to do with the input. states: (1, L, D)."""
    noise = torch.randn((1, unet.config.in_channels, 16, 16), generator=torch.Generator().manual_seed(0))
    answer = unet(noise, torch.tensor([999.0]), TextContext(states))
    return bool(torch.cosine_similarity(answer.flatten(), noise.flatten(), dim=0) > 0.5)
