"""The optimizers of the trainers."""

from typing import Any

from torch import nn

from ldmcli.config.training import TrainConfig
from ldmcli.training.adamw import AdamW
from ldmcli.training.muon import Muon


def make_optimizer(network: nn.Module, parameters: Any, config: TrainConfig, accelerator: Any) -> AdamW:
    """What --optimizer names, for these parameters of a network, or groups of them, that are on their device already."""
    betas = (0.9, 0.99)
    if config.optimizer == "adamw":
        return adamw(parameters, config, accelerator, betas=betas)
    tables = [module.weight for module in network.modules() if isinstance(module, nn.Embedding)]
    return Muon(parameters, tables, **_options(config, accelerator), betas=betas)


def adamw(parameters: Any, config: TrainConfig, accelerator: Any, *, betas: tuple[float, float]) -> AdamW:
    """AdamW whatever --optimizer says; fused where torch has that."""
    return AdamW(parameters, **_options(config, accelerator), betas=betas)


def _options(config: TrainConfig, accelerator: Any) -> dict[str, Any]:
    return {"lr": config.lr, "weight_decay": config.weight_decay, "fused": accelerator.device.type in ("cpu", "cuda")}
