"""What a batch starts from: the noise of its seeds, between seeds where that is asked for, and a picture under it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ldmcli.diffusion.noise import COLUMNS, WHOLE, StepNoise, noise_for, slerp
from ldmcli.diffusion.start import Start, StartPicture
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session

# C latent channels, h w latent size


def batch_start(session: Session, settings: SamplingSettings, batch: Sequence[Job]) -> Start:
    """Noise, step noise and picture of jobs that share their config.

    The draws of a seed are those of diffusers' pipelines with one generator a picture: with a picture to start from the first is for
    the sample of its latents, the second is the noise, and with a mask the third is for the masked picture, which we do not need.
    """
    shape, image = session.latent_shape(settings.width, settings.height), settings.start
    before = 0 if image is None else 1
    noise = torch.stack([noise_of(job, shape, after=before) for job in batch])
    step_noise = None
    if settings.solver.stochastic:
        masked = image is not None and image.redrawn is not None
        ways = {row: (job.towards.seed, job.towards.share) for row, job in enumerate(batch) if job.towards and job.towards.seed is not None}
        step_noise = StepNoise([job.seed for job in batch], shape, after=before + 1 + masked, towards=ways)
    if image is None:
        return Start(noise, step_noise)
    mean, std = session.encode(image.pixels, tiled=settings.tiled)
    sample = torch.stack([between(job, shape, after=0) for job in batch])
    return Start(noise, step_noise, StartPicture(mean + std * sample.to(mean), image.redrawn))


def noise_of(job: Job, shape: tuple[int, int, int], *, after: int) -> Tensor:
    """The noise of a picture, (C, h, w). after: draws of its seeds that come before."""
    noise = between(job, shape, after=after)
    if job.variation is None:
        return noise
    seed, amount = job.variation
    return slerp(noise, noise_for([seed], shape, after=after)[0], amount, COLUMNS)


def between(job: Job, shape: tuple[int, int, int], *, after: int) -> Tensor:
    """A draw of the job's seed, or for a frame on the way to another seed that of both, (C, h, w)."""
    own = noise_for([job.seed], shape, after=after)[0]
    if job.towards is None or job.towards.seed is None:
        return own
    return slerp(own, noise_for([job.towards.seed], shape, after=after)[0], job.towards.share, WHOLE)
