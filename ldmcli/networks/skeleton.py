"""Networks without weights of their own: built in no time and no memory, then given tensors that exist already."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Network = TypeVar("Network", bound=nn.Module)


class _WithoutValues(TorchFunctionMode):
    """Initial values are not set: on the meta device, too, each would take as long as the rest of its layer."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def skeleton(build: Callable[[Any], Network], config: Any) -> Network:
    """On the meta device, without memory for weights and without initial values."""
    with torch.device("meta"), _WithoutValues():
        return build(config)


def with_weights(network: Network, weights: Mapping[str, Tensor], device: torch.device) -> Network:
    """A skeleton that computes with these very tensors, which are not copied where they are on the device; in eval mode, frozen."""
    network.load_state_dict(weights, assign=True)
    return network.to(device).eval().requires_grad_(False)
