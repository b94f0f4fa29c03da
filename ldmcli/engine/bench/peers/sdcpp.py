"""stable-diffusion.cpp, through the package cyllama, which brings it built. https://github.com/leejet/stable-diffusion.cpp

It reads the single files of Stable Diffusion 1.x and 2.x, and ends the process over a network of another shape, so only those are handed
to it. The steps, the noise and the precision are stated; its convolutions stay in fp16 whatever is asked for.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ldmcli.config.generation import GenerateConfig
from ldmcli.diffusion.solver import Solver
from ldmcli.engine.bench.machine import Stopwatch
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.models.source import Source
from ldmcli.runtime.device import Runtime

CHANNELS, TEXT_WIDTHS = (320, 640, 1280, 1280), (768, 1024)
"""Of the U-Nets of Stable Diffusion; of 1.x and 2.x."""
TYPES = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
METHODS = {"euler": "EULER", "heun": "HEUN"}
"""Of ours, those whose steps it takes from the same timesteps."""


class StableDiffusionCppPeer:
    """See Peer."""

    unet = None

    def __init__(self, source: Source, runtime: Runtime, session: Session) -> None:
        check(source, runtime, session)
        from cyllama import sd

        self.sd = sd
        sd.set_log_callback(lambda *told: None)  # it would speak on stdout
        sd.set_progress_callback(lambda *told: None)
        self.precision = f"{runtime.dtype_name}, convolutions fp16"
        self.context = sd.SDContext(self._options(source, runtime, session))
        self.steps: dict[str, Any] = {}

    def _options(self, source: Source, runtime: Runtime, session: Session) -> Any:
        """How the model is opened."""
        sd, options = self.sd, self.sd.SDContextParams()
        options.model_path, options.n_threads = str(source.path), torch.get_num_threads()
        options.wtype = sd.SDType[TYPES[runtime.dtype_name]]
        options.prediction = sd.Prediction.V if session.schedule.prediction == "v" else sd.Prediction.EPS
        options.rng_type = options.sampler_rng_type = sd.RngType.CPU  # torch's
        options.vae_decode_only, options.free_params_immediately = True, False
        return options

    def prepare(self, session: Session, solver: Solver) -> None:
        """See Peer."""
        if solver.name not in METHODS:
            raise UsageError(f"stable-diffusion.cpp does not take the steps of {solver.name}.", hint="Add --scheduler euler.")
        if (spacing := solver.settings["spacing"]) != "linspace":
            raise UsageError(f"stable-diffusion.cpp does not space {solver.name}'s steps as {spacing}.", hint="Add --spacing linspace.")
        method = self.sd.SampleMethod[METHODS[solver.name]]
        self.steps = {"sample_method": method, "scheduler": self.sd.Scheduler.DISCRETE}

    def draw(self, settings: SamplingSettings, cell: GenerateConfig, seed: int) -> tuple[float, Tensor]:
        """See Peer. The pictures of a batch are drawn one after the other."""
        watch = Stopwatch(torch.device("cpu"))
        drawn = self.context.generate(
            cell.prompts[0], width=settings.width, height=settings.height, seed=seed, batch_count=cell.stated_batch_size,
            sample_steps=settings.steps, cfg_scale=settings.cfg, **self.steps,
        )  # fmt: skip
        seconds = watch.lap()
        pictures = torch.stack([torch.from_numpy(picture.to_numpy().copy()) for picture in drawn])  # (B, H, W, 3), 0 to 255
        return seconds, pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def check(source: Source, runtime: Runtime, session: Session) -> None:
    """Raise LdmError for what it cannot open, does not compute on or is not installed."""
    unet = session.unet.config
    if not source.path.is_file():
        raise LdmError("stable-diffusion.cpp reads single files of Stable Diffusion.", hint="Compare with -m FILE.safetensors.")
    if tuple(unet.block_out_channels) != CHANNELS or unet.cross_attention_dim not in TEXT_WIDTHS:
        raise LdmError("stable-diffusion.cpp knows networks of Stable Diffusion's shape only.", hint="Compare with one of 1.x or 2.x.")
    if runtime.device.type != "cpu":
        raise UsageError(f"cyllama's wheel runs on a CPU, and the device is {runtime.device}.", hint="Add --device cpu.")
    if find_spec("cyllama") is None:
        raise NotFound("stable-diffusion.cpp needs cyllama.", hint="Get it with: pip install cyllama")
