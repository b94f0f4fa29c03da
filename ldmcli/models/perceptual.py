"""LPIPS (Zhang et al. 2018), by the package of its authors: an optional extra, because it needs torchvision."""

import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout

import torch
from torch import Tensor

from ldmcli.errors import NotFound, UsageError

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Both (B, 3, H, W) in [-1, 1]. Returns (B,)."""


def load_lpips(device: torch.device) -> Perceptual:
    """The distance in the features of VGG-16, in fp32. Its weights come from torchvision's cache, or over the network (528 MB).

    Raises UsageError where the packages are missing or do not fit this torch, NotFound where the weights cannot be had.
    """
    try:
        import lpips
    except (ImportError, RuntimeError, OSError) as error:  # torchvision of another torch fails with any of them
        raise UsageError(f"--perceptual lpips: {error}.", hint="Get what it needs with: pip install lpips torchvision") from error
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # torch.hub says on stdout what it fetches
            warnings.simplefilter("ignore")  # lpips calls torchvision in an old way
            network = lpips.LPIPS(net="vgg", verbose=False)
    except (OSError, RuntimeError) as error:  # no network; a file that was cut short
        raise NotFound(
            f"--perceptual lpips: the weights of VGG-16 cannot be had: {error}.",
            hint=f"Fetch them where there is a network (vgg16-397923af.pth), and put them into {torch.hub.get_dir()}/checkpoints.",
        ) from error
    network = network.to(device).eval().requires_grad_(False)
    return lambda decoded, pictures: network(decoded, pictures).flatten()
