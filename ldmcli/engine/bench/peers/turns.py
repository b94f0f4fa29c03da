"""The same pictures by another tool, in turn with ours: seconds, memory and deviation of both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.bench.machine import as_ldm_error
from ldmcli.engine.bench.peers.diffusers import DiffusersPeer
from ldmcli.engine.bench.peers.engines import ONNXRuntimePeer, OpenVINOPeer
from ldmcli.engine.bench.peers.peer import Peer
from ldmcli.engine.bench.peers.sdcpp import StableDiffusionCppPeer
from ldmcli.engine.bench.timing import draw_batch
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.psnr import psnr
from ldmcli.metrics.spread import spread
from ldmcli.models.source import Source
from ldmcli.records.costs import PeerTimes
from ldmcli.records.notes import Note
from ldmcli.runtime.device import Runtime
from ldmcli.runtime.memory import Growth, reset_peak

PEERS: dict[str, Any] = {
    "diffusers": DiffusersPeer,
    "openvino": OpenVINOPeer,
    "onnxruntime": ONNXRuntimePeer,
    "sdcpp": StableDiffusionCppPeer,
}
"""By the name that --compare takes."""


@dataclass(frozen=True)
class Opened:
    """A peer that is there, and what memory was held before it was."""

    name: str
    peer: Peer
    growth: Growth


def open_peer(name: str, source: Source, runtime: Runtime, session: Session) -> Opened:
    """session: ours, of the same model. Raises LdmError where it cannot be compared; its hint says what to do."""
    growth = Growth(runtime.device)
    return Opened(name, PEERS[name](source, runtime, session), growth)


def left_out(name: str, error: Exception, what: str = "") -> Note:
    """Why a peer draws nothing of `what`, and what to do about it."""
    known = as_ldm_error(error)
    return Note(f"{what}{name} is left out: {known.message} {known.hint}", warning=True)


def compare_row(
    session: Session, opened: Opened, settings: SamplingSettings, cell: GenerateConfig, seed: int, *, runs: int, warmup: int
) -> PeerTimes:
    """Draw in turn, whoever went second going first in the next round: what disturbs the machine disturbs both.

    Raises UsageError where the peer cannot take these steps, LdmError where it cannot draw.
    """
    peer = opened.peer
    peer.prepare(session, settings.solver)
    theirs = partial(peer.draw, settings, cell, seed)

    def ours() -> tuple[float, Tensor | None]:
        run = draw_batch(session, settings, cell.prompts[0], seed, cell.stated_batch_size)
        return run.total_s, run.pictures

    reset_peak(session.device)
    with counted_calls(peer.unet) as calls:
        theirs()
    growth = opened.growth.peak_bytes()
    for _ in range(warmup):
        ours()
        theirs()
    times: dict[Any, list[float]] = {ours: [], theirs: []}
    pictures: dict[Any, Tensor | None] = {}
    for number in range(runs):
        for draw in (ours, theirs) if number % 2 else (theirs, ours):
            seconds, pictures[draw] = draw()
            times[draw].append(seconds)
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(times[ours], times[theirs], strict=True)]
    mine, others = pictures[ours], pictures[theirs]
    assert others is not None
    comparable = mine is not None and bool(others.isfinite().all())
    return PeerTimes(
        peer=opened.name,
        precision=peer.precision,
        total_s=spread(times[theirs]),
        ours_s=spread(times[ours]),
        ratio=spread(ratios).median,
        ratio_ci95=bootstrap_interval(ratios, "median"),
        num_unet_calls=None if peer.unet is None else len(calls),
        growth_bytes=growth,
        max_difference=127.5 * (mine - others).abs().max().item() if comparable else None,  # type: ignore[operator]
        psnr=psnr(mine, others).mean().item() if comparable else None,  # type: ignore[arg-type]
    )


@contextmanager
def counted_calls(unet: nn.Module | None) -> Iterator[list[None]]:
    """A list that grows with every call inside."""
    calls: list[None] = []
    hook = unet.register_forward_hook(lambda module, inputs, answer: calls.append(None)) if unet else None
    try:
        yield calls
    finally:
        if hook:
            hook.remove()
