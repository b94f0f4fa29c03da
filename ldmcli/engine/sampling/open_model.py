"""A model that is open, with what is known of it beside its session: its own defaults, and what the pictures it draws record."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.metadata import by_copies, picture_facts
from ldmcli.engine.sampling.settings import SamplingSettings, resolve_settings
from ldmcli.engine.session import Session, open_session
from ldmcli.models.hashes import other_weights, weights_hash
from ldmcli.models.layout import ldm_settings
from ldmcli.models.source import Source
from ldmcli.runtime.device import Runtime, select_runtime

AT_ONCE = 8
"""Pictures, where nobody says how many."""
SMALL, SMALL_AT_ONCE = 8 * 8, 16
"""Latent positions of a small picture, and how many of those: a processor multiplies a few hundred rows far below its best."""


@dataclass(frozen=True)
class OpenModel:
    """What `ldm generate` and Python draw with."""

    source: Source
    session: Session
    runtime: Runtime

    @cached_property
    def own(self) -> dict[str, Any]:
        """What the model says of itself: its defaults, ..."""
        return ldm_settings(self.source.path)

    @cached_property
    def unet_sha256(self) -> str:
        """Of the weights; of large ones it takes seconds."""
        return weights_hash(self.source.path, "unet", **self.source.picking)

    @cached_property
    def other_weights(self) -> dict[str, Any]:
        """What a picture states beside the U-Net's hash: another VAE or tokenizer, LoRAs."""
        found = other_weights(self.source)
        if self.source.tokenizer != self.source.path / "tokenizer":
            found["tokenizer_sha256"] = self.session.text.tokenizer.sha256
        return found

    def settings(self, config: GenerateConfig) -> SamplingSettings:
        """See resolve_settings."""
        return resolve_settings(config, self.session, self.own)

    def batch_size(self, config: GenerateConfig, settings: SamplingSettings) -> int:
        """Pictures at a time: as asked, else by a fixed rule of their size, since it is part of how pixels are rounded."""
        if config.batch_size is not None:
            return config.batch_size
        _, height, width = self.session.latent_shape(settings.width, settings.height)
        return SMALL_AT_ONCE if height * width <= SMALL else AT_ONCE

    def facts(self, job: Job, settings: SamplingSettings, threads: int) -> dict[str, Any]:
        """All that a picture records."""
        size = self.batch_size(job.config, settings)
        known = picture_facts(job, settings, self.runtime, self.source.name, self.unet_sha256, threads, size)
        return known | self.other_weights


def open_networks(config: GenerateConfig, source: Source, runtime: Runtime) -> Session:
    """In the precision and the form that the options say. Raises LdmError."""
    return open_session(
        source, runtime, vae_dtype=config.vae_dtype, fuse=by_copies(config, runtime), backend=config.backend, vae_alone=config.strength == 0
    )


def open_model(config: GenerateConfig, source: Source) -> OpenModel:
    """On the device of the options. Raises LdmError."""
    runtime = select_runtime(config.device, config.dtype)
    return OpenModel(source, open_networks(config, source, runtime), runtime)
