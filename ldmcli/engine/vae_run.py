"""One VAE training run from the inside: the loss of a step, validation, samples, saving."""

import math
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ldmcli.autoencoder.centring import centred
from ldmcli.autoencoder.losses import kl_per_channel, kl_to_standard_normal, reconstruction
from ldmcli.config.training import TrainVAEConfig
from ldmcli.data.cache import to_unit_range
from ldmcli.data.rows import Rows, draw_views, flip_some
from ldmcli.engine.adversary import Adversary
from ldmcli.errors import NonFinite
from ldmcli.images import to_pillow
from ldmcli.metrics.psnr import block_mean, psnr
from ldmcli.models.perceptual import Perceptual
from ldmcli.models.saving import save_component
from ldmcli.networks.vae import VAE
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.reports.sheets import contact_sheet, save_sheet
from ldmcli.training.loop import Terms
from ldmcli.training.order import SampleOrder, generator_for
from ldmcli.training.state import TrainState

COLLAPSED = 0.01
"""Nats per latent value below which a channel says nothing about the picture."""


class VAERun:
    """The closures of one VAE run: loss, validation, samples and saving share these things."""

    def __init__(
        self,
        config: TrainVAEConfig,
        vae: VAE,
        prepared: Any,
        accelerator: Any,
        pixels: Rows,
        train_rows: list[int],
        val_rows: list[int],
        order: SampleOrder,
        per_step: int,
        views: int,
        perceptual: Perceptual | None,
        adversary: Adversary | None,
    ) -> None:
        """pixels: `views` squares of every picture next to each other; rows are numbers of pictures."""
        self.config, self.vae, self.prepared, self.accelerator = config, vae, prepared, accelerator
        self.pixels, self.order, self.per_step, self.views = pixels, order, per_step, views
        self.train_rows, self.val_rows = torch.tensor(train_rows), torch.tensor(val_rows)
        self.perceptual, self.adversary = perceptual, adversary
        self.scaling_factor: float | None = None
        """Of the model last saved."""

    def loss(self, step: int, part: int) -> Terms:
        """One accumulation part of this process's share of the global batch."""
        size = self.config.batch_size
        first = (part * self.accelerator.num_processes + self.accelerator.process_index) * size
        views = generator_for(self.config.seed, "views", step)  # drawn for the whole batch, so that shares agree
        seen = draw_views(self.train_rows[self.order.batch(step, self.per_step)], self.views, views)[first : first + size]
        flipped = (torch.rand(self.per_step, generator=views) < 0.5 * self.config.flip)[first : first + size]
        noise_shape = (self.per_step, self.vae.config.latent_channels, *self._latent_side())
        noise = torch.randn(noise_shape, generator=generator_for(self.config.seed, "posterior", step))[first : first + size]
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

    @torch.no_grad()
    def validate(self, state: TrainState) -> dict[str, float]:
        """PSNR of held-out pictures through mean latents, with the weights that would be shipped.

        Beside it what needs no network: the mean picture, and three numbers (a colour) for every latent pixel.
        """
        if not len(self.val_rows):
            return {}
        pictures = to_unit_range(self.pixels[self.val_rows * self.views])
        decoded = self._reconstruct(state, pictures)
        seen = to_unit_range(self.pixels[self.train_rows[:256]]).mean(dim=0).expand_as(pictures)
        carried = self.carried(state)
        return {
            "val_psnr": psnr(decoded, pictures).mean().item(),
            "val_psnr_mean_picture": psnr(seen, pictures).mean().item(),
            "val_psnr_block_mean": psnr(block_mean(pictures, self.vae.config.downscale), pictures).mean().item(),
            "used_channels": float(sum(nats >= COLLAPSED for nats in carried)),
        }

    @torch.no_grad()
    def carried(self, state: TrainState) -> list[float]:
        """Nats per latent value of each channel, on the held-out pictures."""
        shipped = self._shipped(state)
        parts = [shipped.encode(to_unit_range(self.pixels[rows]).to(self.accelerator.device)) for rows in self.val_rows.split(64)]
        return kl_per_channel(torch.cat([p.mean for p in parts]), torch.cat([p.logvar for p in parts])).tolist()

    def collapse(self, state: TrainState) -> Iterator[Note]:
        """What each channel carries; a warning when one carries nothing, or the mean of all pictures is as good as the decoder."""
        if not len(self.val_rows):
            return
        carried, figures = self.carried(state), self.validate(state)
        yield Note("nats per latent value: " + ", ".join(f"{nats:.3g}" for nats in carried))
        dead = [str(number) for number, nats in enumerate(carried) if nats < COLLAPSED]
        if dead:
            yield Note(f"latent channels {', '.join(dead)} collapsed to the prior; try a lower --kl-weight.", warning=True)
        if figures["val_psnr"] <= figures["val_psnr_mean_picture"]:
            yield Note("held-out pictures are rebuilt no better than by the mean picture; train longer or lower --kl-weight.", warning=True)

    @torch.no_grad()
    def sample(self, state: TrainState) -> Generator[Event, None, dict[str, float]]:
        """Pictures, held out where there are such, above their reconstructions. Returns no figures: validation has them."""
        pictures = to_unit_range(self.pixels[(self.val_rows if len(self.val_rows) else self.train_rows)[:16] * self.views])
        sheet = contact_sheet(to_pillow(torch.cat([pictures, self._reconstruct(state, pictures)])), columns=len(pictures))
        path = self.config.output / "samples" / f"step-{state.step:06d}.png"
        yield Saved("samples", save_sheet(sheet, path))
        return {}

    def save_model(self, state: TrainState) -> Iterator[Event]:
        """Write RUN/model/vae, its latents centred and scaled."""
        mean, self.scaling_factor = self.latent_frame(state)
        model = self.config.output / "model"
        config = replace(self.vae.config, scaling_factor=self.scaling_factor)
        save_component(model, "vae", config, centred(state.weights(), mean))
        yield Saved("model", model)

    def _reconstruct(self, state: TrainState, pictures: Tensor) -> Tensor:
        shipped = self._shipped(state)
        parts = [shipped.decode(shipped.encode(p.to(self.accelerator.device)).mean).clamp(-1, 1).cpu() for p in pictures.split(64)]
        return torch.cat(parts)

    def latent_frame(self, state: TrainState) -> tuple[Tensor, float]:
        """The mean that is taken from the latents, (C,), and their scaling factor: measured, or those of --init, whose U-Net knows them."""
        if self.config.init is not None and not self.config.new_scale:
            return torch.zeros(self.vae.config.latent_channels), self.vae.config.scaling_factor
        return self.measure_latents(state)

    @torch.no_grad()
    def measure_latents(self, state: TrainState) -> tuple[Tensor, float]:
        """Of sampled latents over up to 1,024 training pictures: the mean of each channel, (C,), and 1 / their standard deviation
        without it (Rombach et al. 2022, app. G)."""
        shipped, generator = self._shipped(state), generator_for(self.config.seed, "scale")
        drawn = []
        for rows in self.train_rows[:: max(len(self.train_rows) // 1024, 1)][:1024].split(64):
            posterior = shipped.encode(to_unit_range(self.pixels[rows * self.views]).to(self.accelerator.device))
            noise = torch.randn(posterior.mean.shape, generator=generator)
            drawn.append(posterior.sample(noise.to(self.accelerator.device)).cpu())
        latents = torch.cat(drawn).double()
        mean = latents.mean(dim=(0, 2, 3))
        deviation = (latents - mean.view(-1, 1, 1)).std().item()
        if not (math.isfinite(deviation) and deviation > 0):
            raise NonFinite(f"step {state.step}: the latents have a standard deviation of {deviation}.", hint="Try a lower --lr.")
        return mean, 1 / deviation

    def _shipped(self, state: TrainState) -> VAE:
        shipped = VAE(self.vae.config).to(self.accelerator.device).eval()
        shipped.load_state_dict(state.weights())
        return shipped

    def _latent_side(self) -> tuple[int, int]:
        return (self.config.size // self.vae.config.downscale,) * 2
