"""diffusers' StableDiffusionPipeline, from the same files, on the same device, in the same precision."""

from typing import Any

import torch
from torch import Tensor, nn

from ldmcli.config.generation import GenerateConfig
from ldmcli.diffusion.catalogue import resolve
from ldmcli.diffusion.solver import Solver
from ldmcli.engine.bench.machine import Stopwatch
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.errors import LdmError
from ldmcli.models.source import Source
from ldmcli.runtime.device import Runtime

METHODS: dict[str, dict[str, Any]] = {
    "pndm": {"skip_prk_steps": True},
    "dpm++2m": {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
    "dpm++2m-sde": {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
    "unipc": {"solver_order": 2, "solver_type": "bh2", "predict_x0": True},
}
"""What the classes of diffusers have to be told to be the methods of ours."""


class DiffusersPeer:
    """See Peer."""

    def __init__(self, source: Source, runtime: Runtime, session: Session) -> None:
        if source.path.is_file():
            raise LdmError("diffusers needs configs from the hub for a single file.", hint="Compare with the model's folder.")
        import diffusers
        import transformers

        for package in (diffusers, transformers):
            package.utils.logging.disable_progress_bar()
            package.utils.logging.set_verbosity_error()
        self.pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
            source.path, local_files_only=True, safety_checker=None, requires_safety_checker=False
        ).to(runtime.device, runtime.dtype)
        self.pipeline.set_progress_bar_config(disable=True)
        self.device, self.precision = runtime.device, runtime.dtype_name
        self.unet: nn.Module | None = self.pipeline.unet

    def prepare(self, session: Session, solver: Solver) -> None:
        """See Peer."""
        self.pipeline.scheduler = peer_scheduler(solver, session)

    def draw(self, settings: SamplingSettings, cell: GenerateConfig, seed: int) -> tuple[float, Tensor]:
        """See Peer."""
        generators = [torch.Generator().manual_seed(seed + i) for i in range(cell.stated_batch_size)]
        watch = Stopwatch(self.device)
        with torch.inference_mode():
            pictures = self.pipeline(
                [cell.prompts[0]] * cell.stated_batch_size, num_inference_steps=settings.steps, guidance_scale=settings.cfg,
                width=settings.width, height=settings.height, generator=generators, output_type="pt",
            ).images  # fmt: skip
        return watch.lap(), pictures.float().cpu() * 2 - 1


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
