"""One configuration: batches drawn by the session that `generate` uses, timed stage by stage, and what the times amount to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ldmcli.autoencoder.codec import LatentCodec
from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.bench.costs import Costs, Workload, components, count_costs, parameters, weight_bytes
from ldmcli.engine.bench.machine import Stopwatch
from ldmcli.engine.sampling.batch import decoded_at_once
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.errors import NonFinite
from ldmcli.metrics.psnr import psnr
from ldmcli.metrics.spread import spread
from ldmcli.records.costs import BenchRow

# B pictures, C latent channels, h w latent size


@dataclass(frozen=True, eq=False)
class Run:
    """Seconds of each stage, and what came out: latents (B, C, h, w); pictures (B, 3, H, W) in [-1, 1] on the CPU, None if not finite."""

    encode_s: float
    denoise_s: float
    decode_s: float
    latents: Tensor
    pictures: Tensor | None
    cpu_share: float | None
    """How much of the time this thread had a processor; None on a GPU, where it mostly waits."""

    @property
    def total_s(self) -> float:
        """Seconds of all stages."""
        return self.encode_s + self.denoise_s + self.decode_s


def draw_batch(session: Session, settings: SamplingSettings, prompt: str, seed: int, batch_size: int) -> Run:
    """One prompt, `batch_size` pictures with seeds from `seed` on. The device is waited for between the stages, not between steps."""
    watch, began = Stopwatch(session.device), time.thread_time()
    prompts, seeds = [prompt] * batch_size, range(seed, seed + batch_size)
    context = session.encode_prompts(prompts, [""] * batch_size, guided=settings.cfg > 1)
    encode_s = watch.lap()
    final = None
    for step in session.denoise(
        context, seeds, session.latent_shape(settings.width, settings.height), settings.solver, guidance=settings.cfg
    ):
        final = step.final
    assert final is not None
    denoise_s = watch.lap()
    try:
        height, width = final.shape[-2:]
        together = decoded_at_once(height, width, session.device)  # as `generate` does
        pictures = [session.decode(some) for some in final.split(together)]
    except NonFinite:
        pictures = []
    decode_s = watch.lap()
    share = (time.thread_time() - began) / (encode_s + denoise_s + decode_s) if session.device.type == "cpu" else None
    return Run(encode_s, denoise_s, decode_s, final, torch.cat(pictures).cpu() if pictures else None, share)


@torch.no_grad()
def count_nonfinite(session: Session, run: Run) -> int:
    """NaN and infinities in the latents of a run, or, where those are fine, in its pictures."""
    bad = int((~run.latents.isfinite()).sum())
    if run.pictures is not None or bad:
        return bad

    def marked(latents: Tensor) -> Tensor:
        return (~session.vae.decode(latents).isfinite()).float()

    codec = LatentCodec(session.codec.encode, marked, session.codec.scaling_factor)
    dtype = next(session.vae.parameters()).dtype
    return int(sum(codec.decode(run.latents[i : i + 1].to(dtype)).sum().item() for i in range(len(run.latents))))


def asked_row(cell: GenerateConfig, settings: SamplingSettings | None = None, error: str | None = None) -> BenchRow:
    """A row that says only what was asked for, as far as it is known: resolved with `settings`."""
    if settings is None:
        return BenchRow(
            dtype=cell.dtype, batch_size=cell.stated_batch_size, width=cell.width, height=cell.height, steps=cell.steps,
            scheduler=cell.scheduler, cfg=cell.cfg, error=error,
        )  # fmt: skip
    return BenchRow(
        dtype=cell.dtype, batch_size=cell.stated_batch_size, width=settings.width, height=settings.height, steps=settings.steps,
        scheduler=settings.solver.name, cfg=settings.cfg, num_unet_calls=settings.solver.num_calls, error=error,
    )  # fmt: skip


def measured_row(
    row: BenchRow,
    session: Session,
    settings: SamplingSettings,
    cell: GenerateConfig,
    runs: Sequence[Run],
    truth: Tensor | None,
    peak: float,
) -> BenchRow:
    """The row with what the runs amount to. truth: the same pictures in fp32; peak: FLOP/s of the machine in this precision."""
    last, costs = runs[-1], session_costs(session, settings, cell)
    total, denoise = spread([run.total_s for run in runs]), spread([run.denoise_s for run in runs])
    comparable = truth is not None and last.pictures is not None
    parts = components(session.unet, session.vae, session.text.encoder)
    achieved = costs.total / total.median
    return replace(
        row,
        encode_s=spread([run.encode_s for run in runs]).median,
        denoise_s=denoise.median,
        decode_s=spread([run.decode_s for run in runs]).median,
        total_s=total,
        unet_call_ms=1000 * denoise.median / costs.calls,
        images_per_s=cell.stated_batch_size / total.median,
        params=parameters(parts),
        weight_bytes=weight_bytes(parts),
        psnr_vs_fp32=psnr(last.pictures, truth).mean().item() if comparable else None,  # type: ignore[arg-type]
        nonfinite=count_nonfinite(session, last),
        flops=costs.per_image(),
        flops_per_image=round(costs.total / cell.stated_batch_size),
        achieved_flops_per_s=achieved,
        fraction_of_peak=achieved / peak,
        cpu_share=None if last.cpu_share is None else spread([run.cpu_share or 0.0 for run in runs]).median,
    )


def session_costs(session: Session, settings: SamplingSettings, cell: GenerateConfig) -> Costs:
    """The FLOP of one batch of this configuration."""
    guided = settings.cfg > 1
    return count_costs(
        session.unet.config,
        session.vae.config,
        session.text.encoder.config,
        session.latent_shape(settings.width, settings.height),
        Workload(
            batch_size=cell.stated_batch_size,
            calls=settings.solver.num_calls,
            guided=guided,
            texts=len({cell.prompts[0], ""}) if guided else 1,
            masked=session.text.use_mask,
        ),
    )
