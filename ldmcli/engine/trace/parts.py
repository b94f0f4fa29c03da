"""What a traced model is made of: the parts of the U-Net in their order, and the components with their sizes."""

from typing import Any

from torch import nn

from ldmcli.engine.session import Session
from ldmcli.engine.trace.recording import TracedSession


def part_rows(session: TracedSession) -> list[dict[str, Any]]:
    """The U-Net from its first convolution to its last: what each part puts out, and how many parameters it has."""
    maps = {name.split(".attentions")[0] for name in session.record.layers}
    order = [
        name for name in session.record.shapes if name.split(".")[0] in ("conv_in", "down_blocks", "mid_block", "up_blocks", "conv_out")
    ]
    return [
        {
            "part": name,
            "shape": list(session.record.shapes[name]),
            "parameters": count(session.unet.get_submodule(name)),
            "text": name in maps,
        }
        for name in order
    ]


def component_rows(session: Session) -> list[dict[str, Any]]:
    """Parameters and bytes of what the model is made of. Only the decoder half of the VAE draws."""
    parts = {
        "text encoder": session.text.encoder,
        "U-Net": session.unet,
        "VAE encoder": session.vae.encoder,
        "VAE decoder": session.vae.decoder,
    }
    return [
        {"component": name, "parameters": count(part), "bytes": sum(p.numel() * p.itemsize for p in part.parameters()),
         "dtype": str(next(part.parameters()).dtype).removeprefix("torch.")}
        for name, part in parts.items()
    ]  # fmt: skip


def count(part: nn.Module) -> int:
    """How many numbers were learned."""
    return sum(parameter.numel() for parameter in part.parameters())
