"""Our loop with the U-Net of another engine, its precision stated."""

from typing import ClassVar

from torch import Tensor, nn

from ldmcli.config.generation import GenerateConfig
from ldmcli.diffusion.solver import Solver
from ldmcli.engine.bench.timing import draw_batch
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session, open_session
from ldmcli.errors import NonFinite
from ldmcli.models.source import Source
from ldmcli.runtime.device import Runtime


class EnginePeer:
    """See Peer. What is not the U-Net is computed as ours."""

    backend: ClassVar[str]

    def __init__(self, source: Source, runtime: Runtime, session: Session) -> None:
        self.session = open_session(source, runtime, fuse=True, backend=self.backend)
        self.unet: nn.Module | None = self.session.unet
        self.precision = runtime.dtype_name

    def prepare(self, session: Session, solver: Solver) -> None:
        """Nothing: the solver is the same object."""

    def draw(self, settings: SamplingSettings, cell: GenerateConfig, seed: int) -> tuple[float, Tensor]:
        """See Peer."""
        run = draw_batch(self.session, settings, cell.prompts[0], seed, cell.stated_batch_size)
        if run.pictures is None:
            raise NonFinite("the decoded picture holds NaN or infinity.", hint="Try --dtype fp32.")
        return run.total_s, run.pictures


class OpenVINOPeer(EnginePeer):
    """By OpenVINO."""

    backend = "openvino"


class ONNXRuntimePeer(EnginePeer):
    """By ONNX Runtime."""

    backend = "onnxruntime"
