"""Exponential moving average of the weights: the copy that is sampled from and shipped."""

import torch
from torch import Tensor, nn

from ldmcli.training.shards import fill, own


def kept(network: nn.Module) -> dict[str, Tensor]:
    """The state dict without frozen parameters: what training changes."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


class EMA:
    """Shadow weights with the usual warm-up: decay_t = min(decay, (1 + t) / (10 + t)) after t updates (as in TensorFlow and diffusers).

    Of a network that is shared out over processes, each averages its own part.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: value.detach().clone() for name, value in kept(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Call after each optimizer step that really changed the weights."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = network.state_dict(keep_vars=True)
        torch._foreach_lerp_([own(value) for value in self.shadow.values()], [own(current[name]) for name in self.shadow], weight)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights under the network's own key names."""
        return self.shadow

    def load(self, shadow: dict[str, Tensor], updates: int) -> None:
        """Continue from a checkpoint."""
        for name, value in self.shadow.items():
            fill(value, shadow[name])
        self.updates = updates
