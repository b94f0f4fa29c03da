"""The networks of a model and their sizes, and the few lines that a pipeline shows of itself."""

from collections.abc import Sequence
from typing import NamedTuple

from ldmcli.engine.sampling.open_model import OpenModel
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.engine.trace.parts import component_rows


class Part(NamedTuple):
    """A network of the model. parameters: how many numbers were learned; bytes: what they take; dtype: float32, float16 or bfloat16."""

    name: str
    parameters: int
    bytes: int
    dtype: str


def parts_of(session: Session) -> list[Part]:
    """Text encoder, U-Net and the two halves of the VAE."""
    return [Part(row["component"], row["parameters"], row["bytes"], row["dtype"]) for row in component_rows(session)]


def description(model: OpenModel, parts: Sequence[Part], settings: SamplingSettings) -> str:
    """settings: what the model draws by when nothing is said."""
    session, solver = model.session, settings.solver
    shape = " x ".join(map(str, session.latent_shape(settings.width, settings.height)))
    return "\n".join(
        [
            f"Pipeline({model.source.name!r}) on {session.device} in {model.runtime.dtype_name}",
            *(f"  {part.name:13}{part.parameters / 1e6:8.2f} M parameters {part.bytes / 1e6:8.1f} MB {part.dtype}" for part in parts),
            f"  {settings.width} x {settings.height} pixels from latents {shape}; {session.schedule.name} schedule, "
            f"predicts {solver.prediction}",
            f"  by default: scheduler {solver.name}, {settings.steps} steps, cfg {settings.cfg:g}",
        ]
    )
