"""Configs of a model folder as StableDiffusionPipeline reads them: what it corrects in old ones is corrected here, and said. No torch.

Only this module knows those corrections. Whoever loads takes the values, whoever talks takes the notes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError
from ldmcli.models.layout import check_process, component_folder, read_json
from ldmcli.networks.configs import DEFAULT_SCALE, CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.readers.tables import SCHEDULER

WITHOUT_OFFSET = ("DPMSolverSinglestepScheduler", "IPNDMScheduler")
"""Schedulers of diffusers that have no steps_offset to correct."""
LEAST_SAMPLE = 64
"""Latent pixels along a side: no Stable Diffusion was made for less, and old configs say 32."""


@dataclass(frozen=True)
class Config:
    """A config.json with its corrections. notes: each in a sentence."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_config(model: Path, name: str) -> Config:
    """unet, vae, text_encoder or scheduler of a folder. Raises NotFound, and LdmError for what cannot be read or is not supported."""
    if name == "scheduler":
        path = model / "scheduler" / "scheduler_config.json"
        return _scheduler(read_json(path, SCHEDULER), path)
    path = component_folder(model, name) / "config.json"
    raw = read_json(path)
    return _vae(raw, path) if name == "vae" else _unet(raw, path) if name == "unet" else Config(raw)


NETWORKS: dict[str, type[UNetConfig] | type[VAEConfig] | type[CLIPTextConfig]] = {
    "unet": UNetConfig, "vae": VAEConfig, "text_encoder": CLIPTextConfig,
}  # fmt: skip


def network_config(model: Path, name: str) -> UNetConfig | VAEConfig | CLIPTextConfig:
    """unet, vae or text_encoder of a folder, every value checked. Raises NotFound, and LdmError that names file and key."""
    raw = read_config(model, name).values
    try:
        return NETWORKS[name].from_dict(raw)
    except LdmError as error:
        raise LdmError(f"{component_folder(model, name) / 'config.json'}: {error.message}", hint=error.hint) from error


def correction_notes(*places: tuple[Path, str]) -> tuple[str, ...]:
    """What is corrected in these components: the model, and the name of the part. A checkpoint file has nothing to correct."""
    return tuple(note for model, name in places if model.is_dir() for note in read_config(model, name).notes)


def _scheduler(raw: dict[str, Any], path: Path) -> Config:
    """steps_offset is 1, whatever an old file says."""
    kind = str(raw.get("_class_name"))
    check_process(kind, str(path))
    if raw.get("use_flow_sigmas"):
        check_process(f"FlowMatch sigmas of {kind}", str(path))
    offset = raw.get("steps_offset", 1 if kind in WITHOUT_OFFSET else 0)
    if offset == 1:
        return Config(raw)
    return Config({**raw, "steps_offset": 1}, (f"{path} has steps_offset {offset}; taken as 1, as StableDiffusionPipeline does",))


def _unet(raw: dict[str, Any], path: Path) -> Config:
    """sample_size is at least LEAST_SAMPLE in files of diffusers before 0.9."""
    version = re.match(r"(\d+)\.(\d+)", str(raw.get("_diffusers_version")))
    size = raw.get("sample_size")
    old = version is not None and (int(version[1]), int(version[2])) < (0, 9)
    if not (old and isinstance(size, int) and size < LEAST_SAMPLE):
        return Config(raw)
    note = f"{path} is of an old diffusers and has sample_size {size}; taken as {LEAST_SAMPLE}, as StableDiffusionPipeline does"
    return Config({**raw, "sample_size": LEAST_SAMPLE}, (note,))


def _vae(raw: dict[str, Any], path: Path) -> Config:
    """scaling_factor is DEFAULT_SCALE where there is none."""
    if "scaling_factor" in raw:
        return Config(raw)
    note = f"{path} has no scaling_factor; taken as {DEFAULT_SCALE}, that of Stable Diffusion, as StableDiffusionPipeline does"
    return Config({**raw, "scaling_factor": DEFAULT_SCALE}, (note,))
