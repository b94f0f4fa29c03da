"""The same pictures by other tools, in turn with ours."""

from typing import Any

import torch
from torch import Tensor

from ldmcli.config.generation import GenerateConfig
from ldmcli.diffusion.catalogue import resolve
from ldmcli.diffusion.solver import Solver
from ldmcli.engine.bench.machine import Stopwatch
from ldmcli.engine.bench.timing import draw_batch
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session, open_session
from ldmcli.errors import NonFinite
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.spread import spread
from ldmcli.models.source import Source
from ldmcli.records.costs import PeerTimes
from ldmcli.runtime.device import Runtime

METHODS: dict[str, dict[str, Any]] = {
    "pndm": {"skip_prk_steps": True},
    "dpm++2m": {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
    "dpm++2m-sde": {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
    "unipc": {"solver_order": 2, "solver_type": "bh2", "predict_x0": True},
}
"""What the classes of diffusers have to be told to be the methods of ours."""


class DiffusersPeer:
    """StableDiffusionPipeline from the same files, on the same device, in the same precision."""

    name = "diffusers"

    def __init__(self, source: Source, runtime: Runtime) -> None:
        import diffusers
        import transformers

        for package in (diffusers, transformers):
            package.utils.logging.disable_progress_bar()
            package.utils.logging.set_verbosity_error()
        self.pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
            source.path, local_files_only=True, safety_checker=None, requires_safety_checker=False
        ).to(runtime.device, runtime.dtype)
        self.pipeline.set_progress_bar_config(disable=True)
        self.device, self.unet = runtime.device, self.pipeline.unet

    def prepare(self, session: Session, solver: Solver) -> None:
        """Let it take the steps of our solver."""
        self.pipeline.scheduler = peer_scheduler(solver, session)

    def draw(self, settings: SamplingSettings, cell: GenerateConfig, seed: int) -> tuple[float, Tensor]:
        """A batch: seconds, and pictures (B, 3, H, W) in [-1, 1] on the CPU."""
        generators = [torch.Generator().manual_seed(seed + i) for i in range(cell.batch_size)]
        watch = Stopwatch(self.device)
        with torch.inference_mode():
            pictures = self.pipeline(
                [cell.prompts[0]] * cell.batch_size, num_inference_steps=settings.steps, guidance_scale=settings.cfg,
                width=settings.width, height=settings.height, generator=generators, output_type="pt",
            ).images  # fmt: skip
        return watch.lap(), pictures.float().cpu() * 2 - 1


class OpenVINOPeer:
    """Our loop with the U-Net of `--backend openvino`, its precision stated."""

    name = "openvino"

    def __init__(self, source: Source, runtime: Runtime) -> None:
        self.session = open_session(source, runtime, fuse=True, backend="openvino")
        self.unet = self.session.unet

    def prepare(self, session: Session, solver: Solver) -> None:
        """Nothing: the solver is the same object."""

    def draw(self, settings: SamplingSettings, cell: GenerateConfig, seed: int) -> tuple[float, Tensor]:
        """A batch: seconds, and pictures (B, 3, H, W) in [-1, 1] on the CPU. Raises NonFinite."""
        run = draw_batch(self.session, settings, cell.prompts[0], seed, cell.batch_size)
        if run.pictures is None:
            raise NonFinite("the decoded picture holds NaN or infinity.", hint="Try --dtype fp32.")
        return run.total_s, run.pictures


Peer = DiffusersPeer | OpenVINOPeer
PEERS: dict[str, type[Peer]] = {"diffusers": DiffusersPeer, "openvino": OpenVINOPeer}


def peer_scheduler(solver: Solver, session: Session) -> Any:
    """The class of diffusers that takes the steps of our solver. Its latents are equal, but for methods that cannot start at sigma 164."""
    import diffusers

    row, settings = resolve(solver.name), solver.settings
    options = dict(settings["config"]) if "config" in settings else {**session.schedule.to_file(), **METHODS.get(row.method, {})}
    options |= {"timestep_spacing": settings["spacing"]}
    if row.karras:
        options["use_karras_sigmas"] = True
    if row.method.startswith("dpm++2m") and settings["sigma_clipped"]:
        options["lambda_min_clipped"] = -5.1
    return getattr(diffusers, row.class_name).from_config(options)


def compare_row(
    session: Session, peer: Peer, settings: SamplingSettings, cell: GenerateConfig, seed: int, *, runs: int, warmup: int
) -> PeerTimes:
    """Draw in turn, whoever went second going first in the next round: what disturbs the machine disturbs both."""
    peer.prepare(session, settings.solver)

    def ours() -> tuple[float, Tensor | None]:
        run = draw_batch(session, settings, cell.prompts[0], seed, cell.batch_size)
        return run.total_s, run.pictures

    def theirs() -> tuple[float, Tensor | None]:
        return peer.draw(settings, cell, seed)

    for _ in range(warmup):
        ours()
        theirs()
    calls: list[None] = []
    hook = peer.unet.register_forward_hook(lambda *_: calls.append(None))
    theirs()
    hook.remove()
    times: dict[Any, list[float]] = {ours: [], theirs: []}
    pictures: dict[Any, Tensor | None] = {}
    for number in range(runs):
        for draw in (ours, theirs) if number % 2 else (theirs, ours):
            seconds, pictures[draw] = draw()
            times[draw].append(seconds)
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(times[ours], times[theirs], strict=True)]
    mine, others = pictures[ours], pictures[theirs]
    assert others is not None
    return PeerTimes(
        peer=peer.name,
        total_s=spread(times[theirs]),
        ours_s=spread(times[ours]),
        ratio=spread(ratios).median,
        ratio_ci95=bootstrap_interval(ratios, "median"),
        num_unet_calls=len(calls),
        max_difference=None if mine is None or not others.isfinite().all() else 127.5 * (mine - others).abs().max().item(),
    )
