"""One VAE training run from the inside: the loss of a step, validation, samples, saving."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ldmcli.autoencoder.centring import centre_latents
from ldmcli.autoencoder.losses import kl_per_channel, kl_to_standard_normal, reconstruction
from ldmcli.config.training import TrainVAEConfig
from ldmcli.data.cache import to_unit_range
from ldmcli.data.pictures import CROPS
from ldmcli.data.row_sources import RowSource, draw_views, flip_some, rows_of
from ldmcli.engine.train.adversarial import AdversarialLoss
from ldmcli.engine.train.context import DataSplit, GlobalBatch
from ldmcli.engine.train.held_out import MEAN_OF, mean_and_deviation, scale_rows
from ldmcli.engine.train.training_loop import compiled
from ldmcli.errors import NonFinite
from ldmcli.metrics.psnr import block_mean, psnr
from ldmcli.models.perceptual import Perceptual
from ldmcli.models.saving import save_component
from ldmcli.networks.skeleton import skeleton, with_weights
from ldmcli.networks.vae import VAE
from ldmcli.outputs.images import to_pillow
from ldmcli.outputs.provenance import RECONSTRUCTIONS
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.reports.sheets import contact_sheet, save_sheet
from ldmcli.training.loop import Terms
from ldmcli.training.order import generator_for
from ldmcli.training.state import TrainState

COLLAPSED = 0.01
"""Nats per latent value below which a channel says nothing about the picture."""
SAMPLED = 16
"""Pictures of a sample sheet."""


@dataclass(frozen=True)
class Squares:
    """train: the squares of --crop of every picture next to each other; held_out: one square of each picture that `looked_at` names, where
    that is not what `train` has; else None."""

    train: RowSource
    held_out: RowSource | None = None


@dataclass(frozen=True)
class ExtraLosses:
    """What a decoder is judged by beside the pixels."""

    perceptual: Perceptual | None = None
    adversary: AdversarialLoss | None = None


class VAERun:
    """The closures of one VAE run: loss, validation, samples and saving share these things."""

    def __init__(
        self, config: TrainVAEConfig, split: DataSplit, vae: VAE, prepared: Any, accelerator: Any, squares: Squares, extra: ExtraLosses,
    ) -> None:  # fmt: skip
        """prepared: the network as the loss calls it."""
        self.config, self.vae, self.prepared, self.accelerator = config, vae, compiled(prepared, config), accelerator
        self.skeleton = skeleton(VAE, vae.config)
        self.pixels, self.eval_data = squares.train, squares.train if squares.held_out is None else squares.held_out
        self.order, self.batch, self.views = split.order, GlobalBatch.of(config, accelerator), len(CROPS[config.crop])
        self.train_rows, self.val_rows = rows_of(split.train_rows), torch.tensor(split.val_rows)
        self.perceptual, self.adversary = extra.perceptual, extra.adversary
        self.validated: tuple[int, dict[str, float]] = (-1, {})
        """Of which step, and what was found."""
        self.scaling_factor: float | None = None
        """Of the model last saved."""

    def loss(self, step: int, part: int) -> Terms:
        """One accumulation part of this process's share of the global batch."""
        per_step, share = self.batch.per_step, self.batch.share(part)
        views = generator_for(self.config.seed, "views", step)  # drawn for the whole batch, so that shares agree
        seen = draw_views(self.train_rows[self.order.batch(step, per_step)], self.views, views)[share]
        flipped = (torch.rand(per_step, generator=views) < 0.5 * self.config.flip)[share]
        noise_shape = (per_step, self.vae.config.latent_channels, *self._latent_side())
        noise = torch.randn(noise_shape, generator=generator_for(self.config.seed, "posterior", step))[share]
        pictures = to_unit_range(flip_some(self.pixels[seen], flipped)).to(self.accelerator.device, memory_format=torch.channels_last)
        decoded, mean, logvar = self.prepared(pictures, noise.to(self.accelerator.device))
        decoded, mean, logvar = decoded.float(), mean.float(), logvar.float()
        recon = reconstruction(decoded, pictures, self.config.recon).mean()
        kl = kl_to_standard_normal(mean, logvar).mean()
        terms = {"recon": recon, "kl": kl}
        loss = recon + self.config.kl_weight * kl
        if self.perceptual:
            term = self.perceptual(decoded, pictures).mean()
            terms[self.config.perceptual] = term
            loss = loss + self.config.perceptual_weight * term
        if self.adversary and step >= self.adversary.start:
            contest = self.adversary.terms(pictures, decoded, loss, self.vae.decoder.conv_out.weight)
            loss, terms = loss + contest["adversarial_weight"] * contest["adversarial"], {**terms, **contest}
        return {"loss": loss, **terms}

    def validate(self, state: TrainState) -> dict[str, float]:
        """PSNR of held-out pictures through mean latents, with the weights that would be shipped.

        Beside it what needs no network: the mean picture, and three numbers (a colour) for every latent pixel. At the same step it is
        not done twice.
        """
        if not len(self.val_rows):
            return {}
        if self.validated[0] != state.step:
            self.validated = state.step, self._figures(state)
        return self.validated[1]

    @torch.no_grad()
    def _figures(self, state: TrainState) -> dict[str, float]:
        network, downscale = self._inference_network(self._weights(state)), self.vae.config.downscale
        sums = torch.stack([self.eval_data[rows].sum(0, dtype=torch.int64) for rows in self._parts(self.train_rows[:MEAN_OF])]).sum(0)
        seen = to_unit_range(sums / len(self.train_rows[:MEAN_OF]))  # (3, H, W)
        found = []
        for rows in self._parts(self.val_rows):
            pictures = to_unit_range(self.eval_data[rows])
            ways = (self._reconstruct(network, pictures), seen.expand_as(pictures), block_mean(pictures, downscale))
            found.append(torch.stack([psnr(way, pictures) for way in ways]))  # (3, b)
        names = ("val_psnr", "val_psnr_mean_picture", "val_psnr_block_mean")
        figures = dict(zip(names, torch.cat(found, dim=1).mean(dim=1).tolist(), strict=True))
        return {**figures, "used_channels": float(sum(nats >= COLLAPSED for nats in self.channel_nats(state)))}

    @torch.no_grad()
    def channel_nats(self, state: TrainState) -> list[float]:
        """Nats per latent value of each channel, on the held-out pictures."""
        network = self._inference_network(self._weights(state))
        parts = [network.encode(to_unit_range(self.eval_data[rows]).to(self.accelerator.device)) for rows in self._parts(self.val_rows)]
        return kl_per_channel(torch.cat([p.mean for p in parts]), torch.cat([p.logvar for p in parts])).tolist()

    def looks(self) -> list[Callable[[], object]]:
        """What validation, samples and the measured scale need at once, done once: pictures of a batch, there and back."""
        pictures = (self.val_rows if len(self.val_rows) else self.train_rows)[: self.config.batch_size]
        return [lambda: self._reconstruct(self._inference_network(self.vae.state_dict()), to_unit_range(self.eval_data[pictures]))]

    def collapse(self, state: TrainState) -> Iterator[Note]:
        """What each channel carries; a warning when one carries nothing, or the mean of all pictures is as good as the decoder."""
        if not len(self.val_rows):
            return
        channel_nats, figures = self.channel_nats(state), self.validate(state)
        yield Note("nats per latent value: " + ", ".join(f"{nats:.3g}" for nats in channel_nats))
        dead = [str(number) for number, nats in enumerate(channel_nats) if nats < COLLAPSED]
        if dead:
            yield Note(f"latent channels {', '.join(dead)} collapsed to the prior; try a lower --kl-weight.", warning=True)
        if figures["val_psnr"] <= figures["val_psnr_mean_picture"]:
            yield Note("held-out pictures are rebuilt no better than by the mean picture; train longer or lower --kl-weight.", warning=True)

    @torch.no_grad()
    def sample(self, state: TrainState) -> Generator[Event, None, dict[str, float]]:
        """Pictures, held out where there are such, above their reconstructions. Returns no figures: validation has them."""
        rows = (self.val_rows if len(self.val_rows) else self.train_rows)[:SAMPLED]
        network, pairs = self._inference_network(self._weights(state)), []
        for part in self._parts(rows):
            pictures = to_unit_range(self.eval_data[part])
            pairs += list(zip(to_pillow(pictures), to_pillow(self._reconstruct(network, pictures)), strict=True))
        sheet = contact_sheet([picture for row in zip(*pairs, strict=True) for picture in row], columns=len(rows))
        path = self.config.output / "samples" / f"step-{state.step:06d}.png"
        yield Saved("samples", save_sheet(sheet, path, RECONSTRUCTIONS))
        return {}

    def save_model(self, state: TrainState) -> Iterator[Event]:
        """Write RUN/model/vae, its latents centred and scaled."""
        mean, self.scaling_factor = self.latent_frame(state)
        model = self.config.output / "model"
        config = replace(self.vae.config, scaling_factor=self.scaling_factor)
        save_component(model, "vae", config, centre_latents(self._weights(state), mean))
        yield Saved("model", model)

    @torch.no_grad()
    def _reconstruct(self, network: VAE, pictures: Tensor) -> Tensor:
        """Through mean latents. pictures: (B, 3, H, W), no more than fit at once."""
        return network.decode(network.encode(pictures.to(self.accelerator.device)).mean).clamp(-1, 1).cpu()

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """As many pictures at a time as a training step has."""
        return rows.split(self.config.batch_size)

    def latent_frame(self, state: TrainState) -> tuple[Tensor, float]:
        """The mean that is taken from the latents, (C,), and their scaling factor: measured, or those of --init, whose U-Net knows them."""
        if self.config.init is not None and not self.config.new_scale:
            return torch.zeros(self.vae.config.latent_channels), self.vae.config.scaling_factor
        return self.measure_latents(state)

    @torch.no_grad()
    def measure_latents(self, state: TrainState) -> tuple[Tensor, float]:
        """Of sampled latents over up to 1,024 training pictures: the mean of each channel, (C,), and 1 / their standard deviation
        without it (Rombach et al. 2022, app. G)."""
        network, generator = self._inference_network(self._weights(state)), generator_for(self.config.seed, "scale")
        samples = []
        for rows in scale_rows(self.train_rows).split(64):  # what the noise of one draw is for, however many are encoded at once
            noise = torch.randn((len(rows), self.vae.config.latent_channels, *self._latent_side()), generator=generator)
            for part, own in zip(self._parts(rows), noise.split(self.config.batch_size), strict=True):
                posterior = network.encode(to_unit_range(self.eval_data[part]).to(self.accelerator.device))
                samples.append(posterior.sample(own.to(self.accelerator.device)).cpu())
        mean, deviation = mean_and_deviation(samples)
        if not (math.isfinite(deviation) and deviation > 0):
            raise NonFinite(f"step {state.step}: the latents have a standard deviation of {deviation}.", hint="Try a lower --lr.")
        return mean, 1 / deviation

    def _weights(self, state: TrainState) -> dict[str, Tensor]:
        """What would be shipped: the weights that train, averaged, and those that --freeze-encoder keeps."""
        return {**self.vae.state_dict(), **state.weights()}

    def _inference_network(self, weights: Mapping[str, Tensor]) -> VAE:
        return with_weights(self.skeleton, weights, self.accelerator.device)

    def _latent_side(self) -> tuple[int, int]:
        return (self.config.size // self.vae.config.downscale,) * 2
