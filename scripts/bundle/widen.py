"""Give a model more latent channels, as a start for `train-vae --init` and `train-unet --init`.
what it knows stays, new channels begin at random.

python scripts/bundle/widen.py MODEL -o DIR --latent-channels 16
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.saving import save_component
from ldmcli.models.source import find_component
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE

QUIET = 0.3
"""New decoder inputs, as a share of the spread of the old: the first pictures stay about what they were."""
LOG_VARIANCE = -4.0
"""Of the new channels' posterior at the start."""


def widened_vae(old: VAE, channels: int) -> VAE:
    """A copy with more latent channels; the first ones are the old."""
    new = VAE(replace(old.config, latent_channels=channels))
    before, state, c = old.state_dict(), new.state_dict(), old.config.latent_channels
    both = [*range(c), *range(channels, channels + c)]  # where the old means and log variances go
    fresh = [*range(c, channels), *range(channels + c, 2 * channels)]
    for key, value in before.items():
        if state[key].shape == value.shape:
            state[key] = value
    for name in ("encoder.conv_out", "quant_conv", "post_quant_conv", "decoder.conv_in"):
        state[f"{name}.bias"] = torch.zeros_like(state[f"{name}.bias"]) if name != "decoder.conv_in" else before[f"{name}.bias"]
    spread, generator = before["encoder.conv_out.weight"][:c].std(), torch.Generator().manual_seed(0)
    out = torch.randn(state["encoder.conv_out.weight"].shape, generator=generator) * spread
    out[channels + c :] = 0
    out[both] = before["encoder.conv_out.weight"]
    state["encoder.conv_out.weight"] = out
    state["encoder.conv_out.bias"][both] = before["encoder.conv_out.bias"]
    state["encoder.conv_out.bias"][channels + c :] = LOG_VARIANCE
    state["quant_conv.weight"] = mixed(before["quant_conv.weight"], both, fresh)
    state["quant_conv.bias"][both] = before["quant_conv.bias"]
    state["post_quant_conv.weight"] = mixed(before["post_quant_conv.weight"], [*range(c)], [*range(c, channels)])
    state["post_quant_conv.bias"][:c] = before["post_quant_conv.bias"]
    first = before["decoder.conv_in.weight"]
    extra = torch.randn(len(first), channels - c, *first.shape[2:], generator=generator) * first.std() * QUIET
    state["decoder.conv_in.weight"] = torch.cat([first, extra], dim=1)
    new.load_state_dict(state)
    return new


def widened_unet(old: UNet, channels: int) -> UNet:
    """A copy that takes and predicts more latent channels; it predicts 0 for the new ones."""
    new = UNet(replace(old.config, in_channels=channels, out_channels=channels))
    state, before = new.state_dict(), old.state_dict()
    first, last, c = before["conv_in.weight"], before["conv_out.weight"], old.config.in_channels
    generator = torch.Generator().manual_seed(0)
    extra = torch.randn(len(first), channels - c, *first.shape[2:], generator=generator) * first.std() * QUIET
    wide = {
        "conv_in.weight": torch.cat([first, extra], dim=1),
        "conv_out.weight": torch.cat([last, last.new_zeros(channels - c, *last.shape[1:])]),
        "conv_out.bias": torch.cat([before["conv_out.bias"], last.new_zeros(channels - c)]),
    }
    new.load_state_dict({**state, **before, **wide})
    return new


def mixed(old: Tensor, kept: list[int], fresh: list[int]) -> Tensor:
    """A 1x1 convolution: the old one among the kept channels, the identity among the fresh. (n, n, 1, 1)."""
    weight = torch.zeros(len(kept) + len(fresh), len(kept) + len(fresh), 1, 1)
    rows = torch.tensor(kept)
    weight[rows[:, None], rows] = old
    weight[fresh, fresh] = 1
    return weight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="bundled, a run or a diffusers folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--latent-channels", type=int, required=True)
    args = parser.parse_args()
    old = load_vae(find_component(args.model, "vae"))
    if args.latent_channels <= old.config.latent_channels:
        parser.error(f"--latent-channels must be more than the {old.config.latent_channels} of {args.model}")
    new = widened_vae(old, args.latent_channels)
    save_component(args.output, "vae", new.config, new.state_dict())
    unet = widened_unet(load_unet(find_component(args.model, "unet")), args.latent_channels)
    save_component(args.output, "unet", unet.config, unet.state_dict())


if __name__ == "__main__":
    main()
