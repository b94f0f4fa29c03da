"""A session that holds one network at a time, for --low-memory. It draws the very picture that it would draw with all of them."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ldmcli.diffusion.loop import DenoiseStep
from ldmcli.engine.session import Session, fuse_networks, open_session
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.lora import with_loras
from ldmcli.models.source import Source
from ldmcli.networks.attention import TextContext
from ldmcli.networks.packed import packed_in_turn
from ldmcli.runtime.device import Runtime
from ldmcli.runtime.memory import give_back


@dataclass
class LowMemorySession(Session):
    """Networks that are not needed are on the meta device: shapes and precision, no values.

    read: each of them from its file, fp32. away: each of them without values. fuse: whether they draw by their inference copies.
    """

    read: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)
    away: dict[str, nn.Module] = field(default_factory=dict)
    fuse: bool = False

    def encode_prompts(self, *arguments: Any, **options: Any) -> TextContext:
        """As in Session, with the text tower alone in memory."""
        self._hold("text_encoder")
        return super().encode_prompts(*arguments, **options)

    def denoise_from(self, *arguments: Any, **options: Any) -> Iterator[DenoiseStep]:
        """As in Session, with the U-Net alone in memory."""
        self._hold("unet")
        yield from super().denoise_from(*arguments, **options)

    def encode(self, pictures: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """As in Session, with the VAE alone in memory."""
        self._hold("vae")
        return super().encode(pictures, **options)

    def decode(self, latents: Tensor, **options: Any) -> Tensor:
        """As in Session, with the VAE alone in memory."""
        self._hold("vae")
        return super().decode(latents, **options)

    def _hold(self, name: str) -> None:
        """Free the other two, then read this one unless it is there."""
        networks = {"text_encoder": self.text.encoder, "unet": self.unet, "vae": self.vae}
        for other, network in networks.items():
            if other != name and not is_offloaded(network):
                self._set(other, self.away[other])
        needed = networks.pop(name)
        if is_offloaded(needed):
            networks.clear()
            gc.collect()
            give_back()
            dtype = next(needed.parameters()).dtype
            self._set(name, self.read[name]().to(self.device, dtype))
            del needed
            if self.fuse:
                fuse_networks(self, [name])
                packed_in_turn(self.unet if name == "unet" else self.vae)

    def _set(self, name: str, network: Any) -> None:
        setattr(self.text if name == "text_encoder" else self, "encoder" if name == "text_encoder" else name, network)


def is_offloaded(network: nn.Module) -> bool:
    """Whether it has no values."""
    return next(network.parameters()).device.type == "meta"


def offload(network: nn.Module) -> None:
    """Keep its shape and precision, free its weights."""
    network.to("meta")
    gc.collect()
    give_back()


def open_low_memory(
    source: Source, runtime: Runtime, *, vae_dtype: str = "auto", fuse: bool = False, vae_alone: bool = False
) -> LowMemorySession:
    """Like open_session. Every network is read once and checked, one after the other, and again when its turn comes."""
    session = open_session(source, runtime, vae_dtype=vae_dtype, loaded=offload, vae_alone=vae_alone)
    picking = source.picking
    read: dict[str, Callable[[], nn.Module]] = {
        "text_encoder": lambda: with_loras(load_text_encoder(source.path, **picking), "text_encoder", source.loras),
        "unet": lambda: with_loras(load_unet(source.path, **picking), "unet", source.loras),
        "vae": lambda: load_vae(source.vae, **picking),
    }
    away: dict[str, nn.Module] = {"text_encoder": session.text.encoder, "unet": session.unet, "vae": session.vae}
    return LowMemorySession(**vars(session), read=read, away=away, fuse=fuse)
