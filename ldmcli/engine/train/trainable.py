"""What train-unet trains: the U-Net, the text tower along with it, or low-rank adapters in them; and how that becomes a model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ldmcli.config.training import TrainUNetConfig
from ldmcli.engine.train.initial_weights import FrozenNetworks, find_initial_model
from ldmcli.models.adapters import add_adapters, changes_in, merged
from ldmcli.models.hashes import weights_hash
from ldmcli.models.lora import save_lora
from ldmcli.models.lora_source import LORA_FILE
from ldmcli.models.saving import save_component
from ldmcli.networks.attention import SpatialTransformer
from ldmcli.networks.clip_text import CLIPText, Layer
from ldmcli.networks.joint import TextUNet
from ldmcli.networks.layers import Downsample, ResnetBlock, Upsample
from ldmcli.networks.skeleton import skeleton, with_weights
from ldmcli.networks.unet import UNet
from ldmcli.records.notes import Note

PARTS = {"unet": UNet, "text_encoder": CLIPText}
BLOCKS = (ResnetBlock, SpatialTransformer, Downsample, Upsample, Layer)
"""What is gathered at once where a network is shared out: none lies in another, and little lies in none."""
IN_HALF = (UNet, ResnetBlock, SpatialTransformer, Downsample, Upsample)
"""What of it is gathered in bf16: not the text tower, whose sums autocast leaves in fp32, nor what U-Net and tower have in no block."""


@dataclass(frozen=True)
class TrainableNetworks:
    """network: what the optimizer sees. Of it a U-Net alone has the names of a U-Net, both together have theirs behind `unet.` and so on.

    frozen: what stands beside it; rank: of the adapters, None when the weights themselves train; alpha: their scale times the rank.
    """

    network: UNet | TextUNet
    frozen: FrozenNetworks
    rank: int | None
    alpha: float

    @property
    def parts(self) -> dict[str, Any]:
        """The networks that train, by the name of their component."""
        if isinstance(self.network, TextUNet):
            return {"unet": self.network.unet, "text_encoder": self.network.text_encoder}
        return {"unet": self.network}

    def groups(self, config: TrainUNetConfig) -> list[dict[str, Any]]:
        """Parameter groups of the optimizer. lr_factor: what a group's learning rate is multiplied by."""
        factors = {"unet": 1.0, "text_encoder": (config.text_encoder_lr or config.lr) / config.lr}
        return [
            {"params": [p for p in network.parameters() if p.requires_grad], "lr_factor": factors[name]}
            for name, network in self.parts.items()
        ]

    def inference_networks(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The parts with other weights, adapters merged; in eval mode, on the device. weights: as in TrainState.weights."""
        return {
            name: with_weights(skeleton(PARTS[name], network.config), self._merged(name, weights), next(network.parameters()).device)
            for name, network in self.parts.items()
        }

    def save(self, run: Path, weights: Mapping[str, Tensor]) -> None:
        """Write the trained parts of RUN/model, and with adapters RUN/lora too."""
        for name, network in self.parts.items():
            save_component(run / "model", name, network.config, self._merged(name, weights))
        if self.rank is not None:
            changes = {name: changes_in(self._of(name, weights), self.alpha) for name in self.parts}
            save_lora(run / "lora", changes, self.alpha, self.rank)

    def notes(self, run: Path) -> Iterator[Note]:
        """What of the networks trains, where it is not all of it."""
        if self.rank is not None:
            sizes = [(p.numel(), p.requires_grad) for p in self.network.parameters()]
            trained, frozen = (sum(size for size, trains in sizes if trains is kind) for kind in (True, False))
            yield Note(f"adapters of rank {self.rank}: {trained:,} numbers train beside {frozen:,} frozen ones; {run / 'lora' / LORA_FILE}")

    def facts(self, config: TrainUNetConfig) -> dict[str, str]:
        """What a resumed run must find unchanged beside its settings: the weights under the adapters, which no checkpoint holds."""
        if self.rank is None or config.init is None:
            return {}
        return {"init_sha256": weights_hash(find_initial_model(config.init), "unet")}

    def _merged(self, name: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of a plain network: what trains from `weights`, what is frozen from the network itself."""
        return merged({**self.parts[name].state_dict(), **self._of(name, weights)}, self.alpha)

    def _of(self, name: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of one part under its own names."""
        if isinstance(self.network, UNet):
            return dict(weights)
        return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def one_network(parts: Mapping[str, Any]) -> UNet | TextUNet:
    """U-Net and text tower as one, or the U-Net alone where it is alone."""
    return TextUNet(**parts) if "text_encoder" in parts else parts["unet"]


def select_trainable(config: TrainUNetConfig, unet: UNet, frozen: FrozenNetworks) -> TrainableNetworks:
    """Set the networks up as the options ask; the text tower trains with --train-text-encoder. Adapters are drawn from torch's seed."""
    unet.recompute = config.gradient_checkpointing
    unet.config = replace(unet.config, sample_size=config.size // frozen.vae.config.downscale)  # what `generate` draws unasked
    network = one_network({"unet": unet, **({"text_encoder": frozen.text.encoder} if config.train_text_encoder else {})})
    network.train().requires_grad_(True)
    alpha = float(config.lora_rank or 1) if config.lora_alpha is None else config.lora_alpha
    if config.lora_rank is not None:
        add_adapters(network, config.lora_rank, alpha)
    return TrainableNetworks(network, frozen, config.lora_rank, alpha)
