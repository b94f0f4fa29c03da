"""`generate --trace`: from what a session recorded to trace.html and trace.jsonl."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ldmcli.diffusion.grid import signal_noise
from ldmcli.diffusion.objective import predicted_x0
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.engine.trace.parts import component_rows, part_rows
from ldmcli.engine.trace.program import loop_lines, program, solver_source
from ldmcli.engine.trace.recording import Recording, TracedSession, shown_layers
from ldmcli.errors import NonFinite
from ldmcli.outputs.images import to_pillow
from ldmcli.prompts.weighting import weighted_parts
from ldmcli.reports.trace import save_trace
from ldmcli.runtime.device import Runtime

# h w size of an attention map, L text tokens


def write_trace(
    folder: Path, session: TracedSession, job: Job, settings: SamplingSettings, runtime: Runtime, facts: dict[str, Any]
) -> Path:
    """trace.html and trace.jsonl of the picture that the session drew. facts: its metadata. Returns the page's path."""
    record = session.record
    assert record.picture is not None
    tokens = token_rows(session, job)
    words = word_groups(session, job, tokens)
    lines = loop_lines(job.config.model, job, settings, runtime, record, session)
    source, file = solver_source(record)
    attention = record.average()
    trace = {
        "run": facts,
        "picture": to_pillow(record.picture)[0],
        "tokens": tokens,
        "hides_pads": session.text.use_mask,
        "windows": len(tokens) // session.text.tokenizer.length,
        "words": words,
        "attention": attention.permute(2, 0, 1).numpy(),
        "word_maps": group_maps(attention, words),
        "layers": layer_rows(session, words),
        "calls": call_rows(record, words),
        "frames": [frame(session, index, words) for index in record.kept],
        "tensors": tensor_rows(session, job, settings),
        "parts": part_rows(session),
        "components": component_rows(session),
        "stages": [{"stage": name, "seconds": seconds, **vars(used)} for name, seconds, used in record.stages],
        "loop": lines,
        "program": program(lines),
        "solver": {"source": source, "file": file},
    }
    return save_trace(folder, trace)


def call_rows(record: Recording, words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every call of the U-Net: where it stands on the schedule, the sizes of its answers, its time, and where its attention goes."""
    return [
        {
            "i": call.index,
            "t": call.t,
            "sigma": call.sigma,
            **{f"{name}_norm": value for name, value in call.norms.items()},
            "cosine": call.cosine,
            "seconds": call.seconds,
            "share": group_shares(call.share, words),
        }
        for call in record.calls
    ]


def token_rows(session: TracedSession, job: Job) -> list[dict[str, Any]]:
    """One row a position, window after window: its id, the piece of text behind it, role, weight, and 1 in the mask up to the end token.

    A negative prompt that takes more windows leaves some without words behind this one; nothing in them is in the mask.
    """
    text, context = session.text, session.record.context
    assert context is not None
    windows = text.windows(job.prompt, weighting=job.config.weighting, long=job.config.long_prompts)
    windows += [text.blank()] * (context.states.shape[1] // text.tokenizer.length - len(windows))
    rows: list[dict[str, Any]] = []
    for window, tokens in enumerate(windows):
        weights = [1.0] * len(tokens.ids) if tokens.weights is None else [round(weight, 6) for weight in tokens.weights.tolist()]
        end = max(tokens.length, 2) - 1
        for place, (number, piece) in enumerate(zip(tokens.ids.tolist(), text.tokenizer.words(tokens.ids), strict=True)):
            role = "start" if place == 0 else "word" if place < end else "end" if place == end else "pad"
            row = {"position": len(rows), "window": window, "id": number, "piece": piece, "role": role}
            rows.append({**row, "weight": weights[place], "mask": int(place < tokens.length)})
    return rows


def word_groups(session: Session, job: Job, tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The start, each word with all the tokens that spell it, the end, and all pads as one: who attention goes to.

    Where there are several windows, their starts are one, and so are their ends.
    """
    parts = weighted_parts(job.prompt, job.config.weighting)
    words = session.text.tokenizer.word_positions(parts, long=job.config.long_prompts)
    at = {role: [row["position"] for row in tokens if row["role"] == role] for role in ("start", "end", "pad")}
    several = len(at["start"]) > 1
    groups = [
        {"label": f"{len(at['start'])} starts" if several else "start", "role": "start", "weight": 1.0, "positions": at["start"]},
        *({"label": text, "role": "word", "weight": round(weight, 6), "positions": positions} for text, weight, positions in words),
        {"label": f"{len(at['end'])} ends" if several else "end", "role": "end", "weight": 1.0, "positions": at["end"]},
        {"label": f"{len(at['pad'])} pads", "role": "pads", "weight": 1.0, "positions": at["pad"]},
    ]
    return [group for group in groups if group["positions"]]


def group_shares(share: list[float], words: list[dict[str, Any]]) -> list[float]:
    """Attention of each group, from that of each position; adds up to one."""
    return [sum(share[position] for position in group["positions"]) for group in words]


def group_maps(attention: Tensor, words: list[dict[str, Any]]) -> Any:
    """(h, w, L) -> numpy (groups, h, w): what each pixel takes from all tokens of a group together."""
    return torch.stack([attention[..., group["positions"]].sum(dim=-1) for group in words]).numpy()


def layer_rows(session: TracedSession, words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every cross-attention layer: size, heads, whether the page's maps are made of it, and where its attention goes."""
    layers = session.record.layers
    shown = shown_layers({name: (attention.shape[0], attention.shape[1]) for name, attention in layers.items()})
    return [
        {
            "layer": name,
            "height": attention.shape[0],
            "width": attention.shape[1],
            "heads": session.record.heads[name],
            "shown": name in shown,
            "share": group_shares(attention.mean(dim=(0, 1)).tolist(), words),
        }
        for name, attention in layers.items()
    ]


def frame(session: TracedSession, index: int, words: list[dict[str, Any]]) -> dict[str, Any]:
    """One call in pictures: x_t, and the clean picture that each of the answers implies, all through the VAE; None where not finite."""
    step, attention = session.record.kept[index]

    def implied(answer: Tensor | None) -> Image.Image | None:
        return None if answer is None else seen(session, predicted_x0(step.prediction, step.latents, answer, *signal_noise(step.sigma)))

    pictures = {
        "x_t": seen(session, step.latents),
        "uncond": implied(step.uncond),
        "cond": implied(step.cond),
        "guided": implied(step.guided),
    }
    return {"i": index, "pictures": pictures, "latents": step.latents[0].cpu().numpy(), "word_maps": group_maps(attention, words)}


def seen(session: Session, latents: Tensor) -> Image.Image | None:
    """Latents (1, C, h, w) as a picture; None where half precision overflows."""
    try:
        return to_pillow(session.decode(latents))[0]
    except NonFinite:
        return None


def tensor_rows(session: TracedSession, job: Job, settings: SamplingSettings) -> list[dict[str, Any]]:
    """What flows from stage to stage, in order: shape, type and bytes of each tensor."""
    record, context = session.record, session.record.context
    assert context is not None and record.picture is not None
    rows, length, width = context.states.shape
    number, latent, picture = session.unet.conv_in.weight.dtype, record.shapes["noise"], tuple(record.picture.shape)
    both = (rows, *latent[1:])
    once = "where it is not guided" + ", or by the direction of an earlier call" * bool(settings.reused)
    when = "" if rows == 1 or all(settings.guided) else f"; {once}, once"
    listed = [
        ("token ids", (rows, length), torch.int64, "the prompt, and the negative one before it" if rows == 2 else "the prompt"),
        ("text states", (rows, length, width), number, "one vector per token, out of the text encoder"),
        ("noise", latent, torch.float32, f"drawn from seed {job.seed}"),
        ("U-Net input", both, number, f"x_t, once per prompt{when}" if rows == 2 else "x_t"),
        ("U-Net output", both, number, f"its answer: {session.schedule.prediction}"),
        ("guided answer", latent, torch.float32, "the two made one"),
        ("final latents", latent, torch.float32, "x_0, where the solver ends"),
        ("picture", picture, torch.float32, "out of the VAE decoder, -1 to 1"),
        ("pixels", (picture[2], picture[3], 3), torch.uint8, "as they are written"),
    ]
    return [
        {"tensor": name, "shape": list(shape), "dtype": str(dtype).removeprefix("torch."),
         "bytes": torch.Size(shape).numel() * dtype.itemsize,
         "what": what}
        for name, shape, dtype, what in listed
    ]  # fmt: skip
