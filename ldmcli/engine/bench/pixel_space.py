"""Why latent diffusion: the same U-Net on latents and on the pixels they stand for (Rombach et al. 2022, sec. 4.1)."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ldmcli.engine.bench.costs import META, Workload, components, count_costs, parameters
from ldmcli.engine.bench.machine import Stopwatch
from ldmcli.engine.session import Session
from ldmcli.metrics.spread import spread
from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE
from ldmcli.records.costs import SpaceRow
from ldmcli.records.events import Event
from ldmcli.records.notes import Progress
from ldmcli.runtime.live_bytes import LiveBytes

# C channels, h w size of what is denoised, L tokens, D text width

LONGEST_CALL_S = 10
"""A U-Net call on pixels that would take longer at the machine's peak is counted and not run."""

SD14_UNET = UNetConfig(sample_size=64, cross_attention_dim=768)
SD14_VAE = VAEConfig(
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(128, 256, 512, 512),
    layers_per_block=2, sample_size=512,
)  # fmt: skip
SD14_TEXT = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
"""The published configs of Stable Diffusion v1.4, as far as they differ from the defaults."""


@torch.no_grad()
def activation_bytes(config: UNetConfig, shape: tuple[int, int, int], length: int) -> int:
    """Most memory that a guided call (two samples, fp32) needs beside the weights, with the CPU's fused attention. shape: (C, h, w)."""
    with FakeTensorMode():
        unet = UNet(config)
        x, t, context = torch.empty(2, *shape), torch.empty(2), TextContext(torch.empty(2, length, config.cross_attention_dim))
        with LiveBytes() as live:
            unet(x, t, context)
    return live.peak


def count_space(
    model: str, space: str, unet: UNetConfig, vae: VAEConfig | None, text: CLIPTextConfig, shape: tuple[int, int, int], calls: int
) -> SpaceRow:
    """What denoising in this space costs; vae: None where what is denoised is the picture already."""
    costs = count_costs(unet, vae, text, shape, Workload(batch_size=1, calls=calls))
    with META:
        parts = components(UNet(unet), VAE(vae or SD14_VAE), CLIPText(text))
    kept = parts if vae else {name: parts[name] for name in ("text_encoder", "unet")}
    return SpaceRow(
        model=model, space=space, shape=shape, params=parameters(kept), flops_per_call=costs.unet_plain, flops_per_image=costs.total,
        activation_bytes=activation_bytes(unet, shape, text.max_position_embeddings),
    )  # fmt: skip


def compare_spaces(session: Session, model: str, calls: int, peak: float, *, runs: int) -> Iterator[Event | SpaceRow]:
    """Latents and pixels of this model, timed in turn, then those of Stable Diffusion v1.4, counted. peak: FLOP/s of the machine."""
    unet, vae, text = session.unet.config, session.vae.config, session.text.encoder.config
    side, channels = session.native_size, vae.in_channels
    on_pixels = replace(unet, in_channels=channels, out_channels=channels, sample_size=side)
    yield Progress("count pixels against latents", 0, 2)
    latents = count_space(model, "latents", unet, vae, text, session.latent_shape(side, side), calls)
    pixels = count_space(model, "pixels", on_pixels, None, text, (channels, side, side), calls)
    if (pixels.flops_per_call or 0) / peak > LONGEST_CALL_S:
        yield latents
        yield pixels
    else:
        dtype = session.unet.conv_in.weight.dtype
        networks = (session.unet, UNet(on_pixels).to(session.device, dtype).eval())
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(-1, runs):
            yield Progress("a call on latents, a call on pixels", max(number, 0), runs)
            for network, row, kept in zip(networks, (latents, pixels), times, strict=True):
                seconds = one_call(network, row.shape, text.max_position_embeddings)
                if number >= 0:  # the first one warms up
                    kept.append(seconds)
        yield replace(latents, call_s=spread(times[0]))
        yield replace(pixels, call_s=spread(times[1]))
    yield Progress("count Stable Diffusion v1.4", 1, 2)
    yield count_space("sd-v1.4", "latents", SD14_UNET, SD14_VAE, SD14_TEXT, (4, 64, 64), calls)
    yield count_space("sd-v1.4", "pixels", replace(SD14_UNET, in_channels=3, out_channels=3), None, SD14_TEXT, (3, 512, 512), calls)


@torch.no_grad()
def one_call(unet: UNet, shape: tuple[int, int, int], length: int) -> float:
    """Seconds of one guided call, the text's keys and values computed in it. What the input is does not matter."""
    like = unet.conv_in.weight
    x, t = like.new_zeros(2, *shape), like.new_full((2,), 500.0)
    context = TextContext(like.new_zeros(2, length, unet.config.cross_attention_dim))
    watch = Stopwatch(like.device)
    unet(x, t, context)
    return watch.lap()
