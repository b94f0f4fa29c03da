"""Initial values of networks that are trained from nothing."""

from torch import nn

from ldmcli.networks.attention import SpatialTransformer
from ldmcli.networks.layers import ResnetBlock
from ldmcli.networks.vae import MidAttention


def zero_residual_branches(network: nn.Module) -> None:
    """Set the last layer of every residual branch to zero, so that at first each block passes on what it is given (Goyal et al. 2017,
    sec. 5.1; Dhariwal & Nichol 2021, `zero_module`).

    Gradients then reach every block undimmed from the first step.
    """
    for module in network.modules():
        if isinstance(module, ResnetBlock):
            last: nn.Module = module.conv2
        elif isinstance(module, SpatialTransformer):
            last = module.proj_out
        elif isinstance(module, MidAttention):
            last = module.to_out[0]
        else:
            continue
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
