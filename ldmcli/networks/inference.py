"""Inference copies: U-Net and VAE decoder as they sample on a CPU in fp32. The same numbers to rounding, the same names, less work.

Made from the plain networks, which stay what is trained, looked into and read. A copy shares their weights until it first runs and
packs them one by one: whoever then drops the plain network never holds them twice.
"""

import torch
from torch import Tensor, nn

from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.inference_layers import FusedMidAttention, FusedResnet, FusedSpatialTransformer, FusedUpsample, normed_silu, widened
from ldmcli.networks.linear import Linear
from ldmcli.networks.packed import PackedConv, PackedLinear, can_pack, packed_linears
from ldmcli.networks.unet import Level, UNet
from ldmcli.networks.vae import VAE, Decoder

# B pictures, C latent channels, h w latent size, T width of the time embedding, R ResNet blocks

Times = list[Tensor]
"""What each ResNet block adds for the timestep, with the bias of its first convolution in it: R of (O,), or (B, O) if timesteps differ."""


class FusedLevel(nn.Module):
    """Level, on the way down and up."""

    def __init__(self, level: Level) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([FusedResnet(block) for block in level.resnets])  # type: ignore[arg-type]
        self.attentions = nn.ModuleList([FusedSpatialTransformer(layer) for layer in level.attentions])  # type: ignore[arg-type]
        self.downsamplers = nn.ModuleList([PackedConv(layer.conv) for layer in level.downsamplers])  # type: ignore[arg-type]
        self.upsamplers = nn.ModuleList([FusedUpsample(layer) for layer in level.upsamplers])  # type: ignore[arg-type]

    def down(self, x: Tensor, skips: list[Tensor], times: Times, context: TextContext) -> Tensor:
        """Puts what the way up needs at the end of `skips`, and takes its times off the front."""
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, times.pop(0))
            x = self.attentions[i](x, context) if self.attentions else x
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x

    def up(self, x: Tensor, skips: list[Tensor], times: Times, context: TextContext) -> Tensor:
        """Takes its skips off the end of `skips`, and its times off the front."""
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, widened(skips.pop(), len(x))], dim=1), times.pop(0))
            x = self.attentions[i](x, context) if self.attentions else x
        for upsampler in self.upsamplers:
            x = upsampler(x, skips[-1].shape[-2:])
        return x


class InferenceUNet(UNet):
    """A U-Net that is only called. It is the plain one to everybody who calls it or asks for its config, size or precision."""

    def __init__(self, unet: UNet) -> None:
        nn.Module.__init__(self)
        self.config = unet.config
        self.add_module("conv_in", PackedConv(unet.conv_in))
        self.time_embedding = unet.time_embedding
        self.down_blocks = nn.ModuleList([FusedLevel(level) for level in unet.down_blocks])  # type: ignore[arg-type]
        middle = unet.mid_block
        self.add_module("mid_block", nn.Module())
        self.mid_block.attentions = nn.ModuleList([FusedSpatialTransformer(layer) for layer in middle.attentions])  # type: ignore[arg-type]
        self.mid_block.resnets = nn.ModuleList([FusedResnet(block) for block in middle.resnets])  # type: ignore[arg-type]
        self.up_blocks = nn.ModuleList([FusedLevel(level) for level in unet.up_blocks])  # type: ignore[arg-type]
        self.conv_norm_out = unet.conv_norm_out
        self.add_module("conv_out", PackedConv(unet.conv_out))
        levels = [*unet.down_blocks, middle, *unet.up_blocks]
        self.time_emb_proj = packed_linears(*(block.time_emb_proj for level in levels for block in level.resnets))  # type: ignore[union-attr]
        self._times: dict[float, Times] = {}

    @torch.no_grad()
    def expect(self, timesteps: Tensor) -> None:
        """Project the embeddings of all of these, (B,), at once: the calls that follow find them."""
        rows = self._projected(timesteps)
        self._times = {t: [part[i] for part in rows] for i, t in enumerate(timesteps.tolist())}

    def _projected(self, timesteps: Tensor) -> list[Tensor]:
        """R of (B, O)."""
        biases = self._biases()
        everything = self.time_emb_proj(nn.functional.silu(self.embed_time(timesteps))) + torch.cat(biases)  # type: ignore[arg-type]
        return list(everything.split(self.widths(), dim=1))

    def _biases(self) -> list[Tensor]:
        levels = [*self.down_blocks, self.mid_block, *self.up_blocks]
        return [block.conv1.bias for level in levels for block in level.resnets]  # type: ignore[union-attr,misc]

    def widths(self) -> list[int]:
        """O of each ResNet block, in the order in which they run."""
        return [len(bias) for bias in self._biases()]

    def times(self, timesteps: Tensor) -> Times:
        """Of a call at these, (B,): R of (O,) where they are one, else of (B, O)."""
        first = float(timesteps[0])
        if not bool((timesteps == first).all()):
            return self._projected(timesteps)
        if first not in self._times:
            self.expect(timesteps[:1])
        return list(self._times[first])

    @torch.no_grad()
    def forward(self, latents: Tensor, timesteps: Tensor, context: TextContext) -> Tensor:
        """latents: (B, C, h, w), scaled; timesteps: (B,). Returns the prediction (epsilon or v), (B, C, h, w).

        In a guided call the second half of the pictures is the first one again: it is computed once until the text tells them apart.
        """
        return self.answer(*self.once(latents, timesteps), context)

    def once(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Times]:
        """Of a call, what is to be computed: its latents, or their first half where the second one repeats it, and its times."""
        times, half = self.times(timesteps), len(latents) // 2
        twice = len(latents) == 2 * half and times[0].dim() == 1 and torch.equal(latents[:half], latents[half:])
        return latents[:half] if twice else latents, times

    def answer(self, x: Tensor, times: Times, context: TextContext) -> Tensor:
        """The prediction for latents x, of each picture or half as many as the context has; times: as `times` gives them, taken from."""
        x = 2 * x - 1 if self.config.center_input_sample else x
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last))
        skips = [x]
        for level in self.down_blocks:
            x = level.down(x, skips, times, context)  # type: ignore[operator]
        x = self.mid_block.resnets[0](x, times.pop(0))
        x = self.mid_block.resnets[1](self.mid_block.attentions[0](x, context), times.pop(0))
        for level in self.up_blocks:
            x = level.up(x, skips, times, context)  # type: ignore[operator]
        return self.conv_out(normed_silu(self.conv_norm_out, x)).contiguous()


class InferenceDecoder(Decoder):
    """The decoder of a VAE."""

    def __init__(self, decoder: Decoder) -> None:
        nn.Module.__init__(self)
        self.add_module("conv_in", PackedConv(decoder.conv_in))
        middle, self.up_blocks = decoder.mid_block, nn.ModuleList()
        first = nn.Module()
        first.resnets = nn.ModuleList([FusedResnet(block) for block in middle.resnets])  # type: ignore[arg-type]
        first.attentions = nn.ModuleList([FusedMidAttention(layer) for layer in middle.attentions])  # type: ignore[arg-type]
        self.add_module("mid_block", first)
        for stage in decoder.up_blocks:
            copy = nn.Module()
            copy.resnets = nn.ModuleList([FusedResnet(block) for block in stage.resnets])  # type: ignore[arg-type,union-attr]
            copy.upsamplers = nn.ModuleList([FusedUpsample(layer) for layer in stage.upsamplers])  # type: ignore[arg-type,union-attr]
            self.up_blocks.append(copy)
        self.conv_norm_out = decoder.conv_norm_out
        self.add_module("conv_out", PackedConv(decoder.conv_out))

    @torch.no_grad()
    def forward(self, z: Tensor) -> Tensor:
        """z: (B, C, h, w). Returns pictures (B, 3, H, W)."""
        first, second = self.mid_block.resnets
        x = first(self.conv_in(z.contiguous(memory_format=torch.channels_last)))
        for attention in self.mid_block.attentions:
            x = attention(x)
        x = second(x)
        for stage in self.up_blocks:
            for layer in (*stage.resnets, *stage.upsamplers):  # type: ignore[misc,union-attr]
                x = layer(x)
        return self.conv_out(normed_silu(self.conv_norm_out, x)).contiguous()


def packable(network: nn.Module) -> bool:
    """Whether this one runs in fp32 on a CPU, and torch has what its copy takes."""
    first = next(network.parameters())
    return first.device.type == "cpu" and first.dtype == torch.float32 and can_pack()


def inference_unet(unet: UNet) -> UNet:
    """Its copy, or, where there can be none, the network itself."""
    return InferenceUNet(unet) if packable(unet) else unet


def prepare_decoder(vae: VAE) -> None:
    """Give the VAE a copy of its decoder, where there can be one."""
    if packable(vae.decoder):
        vae.add_module("decoder", InferenceDecoder(vae.decoder))


def prepare_text(encoder: CLIPText) -> None:
    """Give the text tower packed linear layers, where it can have them."""
    if packable(encoder):
        for module in list(encoder.modules()):
            for name, layer in module.named_children():
                if isinstance(layer, Linear):
                    module.add_module(name, PackedLinear(layer.weight, bias=layer.bias))
