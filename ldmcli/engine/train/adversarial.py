"""The discriminator of a VAE run: what it adds to the loss of a step, and the learner that it is."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ldmcli.autoencoder.discriminator import PatchDiscriminator, balance, fooling_loss, hinge_loss
from ldmcli.config.training import TrainVAEConfig
from ldmcli.engine.train.optimizers import adamw
from ldmcli.records.notes import Note
from ldmcli.training.loop import Terms
from ldmcli.training.state import Learner

SMALL = 32
"""Pictures with a shorter side than this get a discriminator of smaller patches."""


class AdversarialLoss:
    """A patch discriminator that learns from the same pictures and reconstructions, in the same step, as the VAE does.

    contperceptual.py decodes again for the discriminator's turn; here both learn from one decoding, and move together.
    """

    def __init__(self, config: TrainVAEConfig, accelerator: Any, *, alone: bool = False) -> None:
        """alone: of this process only, for trials that others may not take part in."""
        self.weight, self.start, self.accelerator = config.adversarial_weight, config.adversarial_start, accelerator
        network = PatchDiscriminator(halvings=2 if config.size < SMALL else 3)
        self.network = network.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = adamw(self.network.parameters(), config, accelerator, betas=(0.5, 0.9))  # those of latent-diffusion
        self.alone = alone
        self.prepared = self.network if alone else accelerator.prepare_model(self.network)
        self.learner = Learner("discriminator", self.network, optimizer, self.prepared)

    def terms(self, pictures: Tensor, decoded: Tensor, loss: Tensor, last_layer: Tensor) -> Terms:
        """What joins the terms of a step.

        "adversarial" times "adversarial_weight" is to be added to the VAE's loss; "discriminator" is what the learner minimises.
        pictures, decoded: (B, 3, H, W). loss: that of the VAE so far, which the adversarial one is balanced against at last_layer.
        """
        judge = {name: value.detach() for name, value in self.network.named_parameters()}  # fooling it must not teach it
        fooling = fooling_loss(functional_call(self.network, judge, (decoded,)).float())
        weight = self.weight * balance(self._pull(loss, last_layer), self._pull(fooling, last_layer))
        real, fake = self.prepared(torch.cat([pictures, decoded.detach()])).float().chunk(2)
        return {"adversarial": fooling, "adversarial_weight": weight, "discriminator": hinge_loss(real, fake)}

    def _pull(self, loss: Tensor, last_layer: Tensor) -> Tensor:
        """The gradient of a loss at the last layer, over all processes; scaled, so that half precision does not round it to nothing."""
        scaler = self.accelerator.scaler
        (gradient,) = torch.autograd.grad(loss if scaler is None else scaler.scale(loss), last_layer, retain_graph=True)
        return gradient if self.alone else self.accelerator.reduce(gradient, reduction="mean")

    def notes(self, max_steps: int) -> Iterator[Note]:
        """A warning where the run ends before the discriminator joins."""
        if self.start >= max_steps:
            yield Note(f"the discriminator joins after step {self.start}, and the run has {max_steps}", warning=True)
