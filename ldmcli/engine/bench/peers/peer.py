"""What `bench --compare` asks of another tool."""

from typing import Protocol

from torch import Tensor, nn

from ldmcli.config.generation import GenerateConfig
from ldmcli.diffusion.solver import Solver
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session


class Peer(Protocol):
    """A tool with the model open. Its constructor takes (source, runtime, session), and raises LdmError where it cannot be compared."""

    precision: str
    """What it computes in, in words."""
    unet: nn.Module | None
    """Whose calls are counted; None where that cannot be looked at."""

    def prepare(self, session: Session, solver: Solver) -> None:
        """Let it take the steps of our solver. Raises UsageError where it has none like it."""

    def draw(self, settings: SamplingSettings, cell: GenerateConfig, seed: int) -> tuple[float, Tensor]:
        """A batch: seconds, and pictures (B, 3, H, W) in [-1, 1] on the CPU. Raises NonFinite."""
