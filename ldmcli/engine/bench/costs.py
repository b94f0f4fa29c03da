"""What drawing costs whatever the machine: parameters, bytes, and floating-point operations counted on the meta device.

On the meta device tensors have shapes and no values, so that Stable Diffusion is counted in a second and no memory. The counter cannot
count on a CPU: it does not know the CPU's fused attention and leaves it out. It counts matrix products and convolutions, 2 FLOP for
each multiplication with its addition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE

# B pictures, C latent channels, h w latent size, L tokens, D text width

META = torch.device("meta")


@dataclass(frozen=True)
class Costs:
    """FLOP of one batch, part by part, and how often the U-Net is called."""

    batch_size: int
    calls: int
    text_encoder: int
    unet_plain: int
    """One call that computes the keys and values of the text, as every call of a plain implementation does."""
    unet_call: int
    """One call that remembers them: every call but the first."""
    vae_decoder: int

    @property
    def denoise(self) -> int:
        """The loop as we run it."""
        return self.unet_plain + (self.calls - 1) * self.unet_call

    @property
    def total(self) -> int:
        """The batch as we draw it, from prompt to pixels."""
        return self.text_encoder + self.denoise + self.vae_decoder

    @property
    def plain_total(self) -> int:
        """The batch without anything remembered."""
        return self.text_encoder + self.calls * self.unet_plain + self.vae_decoder

    def per_image(self) -> dict[str, int]:
        """The same for one picture."""
        names = ("text_encoder", "unet_plain", "unet_call", "vae_decoder", "plain_total")
        return {name: round(getattr(self, name) / self.batch_size) for name in names}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is drawn: batch_size pictures by so many calls of the U-Net. texts: different prompts, the negative one among them."""

    batch_size: int
    calls: int
    guided: bool = True
    texts: int = 2
    masked: bool = False
    """Whether pads are hidden from cross-attention."""


def count_costs(unet: UNetConfig, vae: VAEConfig | None, text: CLIPTextConfig, shape: tuple[int, int, int], work: Workload) -> Costs:
    """shape: (C, h, w) of what is denoised; vae: None without a decoder."""
    batch_size = work.batch_size
    samples, length = batch_size * (1 + work.guided), text.max_position_embeddings
    with META:
        denoiser, encoder = UNet(unet), CLIPText(text)
        ids, x, t = torch.empty(work.texts, length, dtype=torch.int64), torch.empty(samples, *shape), torch.empty(samples)
        states = torch.empty(samples, length, unet.cross_attention_dim)
        mask = torch.ones(samples, length, dtype=torch.bool) if work.masked else None
    context = TextContext(states, mask, remember=True)
    return Costs(
        batch_size,
        work.calls,
        text_encoder=count_flops(lambda: encoder(ids)),
        unet_plain=count_flops(lambda: denoiser(x, t, context)),
        unet_call=count_flops(lambda: denoiser(x, t, context)),
        vae_decoder=0 if vae is None else batch_size * count_flops(lambda: _decoder(vae).decode(torch.empty(1, *shape, device=META))),
    )


def _decoder(config: VAEConfig) -> VAE:
    with META:
        return VAE(config)


@torch.no_grad()
def count_flops(run: Callable[[], Any]) -> int:
    """FLOP of a forward pass whose tensors are all on the meta device."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def components(unet: nn.Module, vae: VAE, text: nn.Module) -> dict[str, tuple[nn.Module, ...]]:
    """The parts whose parameters are reported. The 1x1 convolutions around the latents belong to the half that uses them."""
    return {
        "text_encoder": (text,),
        "unet": (unet,),
        "vae_decoder": (vae.post_quant_conv, vae.decoder),
        "vae_encoder": (vae.encoder, vae.quant_conv),
    }


def parameters(parts: dict[str, tuple[nn.Module, ...]]) -> dict[str, int]:
    """How many numbers each part has learnt."""
    return {name: sum(p.numel() for module in modules for p in module.parameters()) for name, modules in parts.items()}


def weight_bytes(parts: dict[str, tuple[nn.Module, ...]]) -> dict[str, int]:
    """How many bytes they take as they are held."""
    return {name: sum(p.numel() * p.element_size() for module in modules for p in module.parameters()) for name, modules in parts.items()}
