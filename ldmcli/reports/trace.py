"""trace.html and trace.jsonl of one picture, from what engine/trace/report.py gathered."""

import base64
import json
from math import log2, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from ldmcli.reports.html import data_uri, render_page
from ldmcli.runtime.files import write_file

Maps = np.ndarray[Any, np.dtype[np.float32]]

LATENT_RANGE = 3.0
"""Latents are shown from -3 (black) to 3 (white): three standard deviations."""

SHOWN_CHANNELS = 16

PART = 116
"""Pixels that a part of the U-Net takes in its diagram, so that `1280 × 128 × 128` fits under it."""


def save_trace(folder: Path, trace: dict[str, Any]) -> Path:
    """Write both files into the folder, and return the page's path. Raises LdmError."""
    write_file(folder / "trace.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(trace)))
    width = max(960, PART * len(trace["parts"]))
    page = render_page("trace", **trace, diagram=u_diagram(trace["parts"], width), diagram_width=width, data=page_data(trace))
    return write_file(folder / "trace.html", page)


def rows(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of trace.jsonl: everything on the page but the pictures. `kind` says what a line is about."""
    attention = trace["attention"]
    maps = [
        {"position": position, "share": float(plane.mean()), "map": np.round(plane.astype(float), 8).tolist()}
        for position, plane in enumerate(attention)
    ]
    words = [{**word, "share": float(plane.mean())} for word, plane in zip(trace["words"], trace["word_maps"], strict=True)]
    kinds = {
        "run": [trace["run"]], "token": trace["tokens"], "word": words, "tensor": trace["tensors"], "part": trace["parts"],
        "component": trace["components"], "stage": trace["stages"], "call": trace["calls"], "layer": trace["layers"], "attention": maps,
        "loop": [{"program": trace["program"]}],
    }  # fmt: skip
    return [{"kind": kind, **row} for kind, listed in kinds.items() for row in listed]


def page_data(trace: dict[str, Any]) -> dict[str, Any]:
    """What the script of the page draws."""
    return {
        "picture": data_uri(trace["picture"]),
        "size": list(trace["picture"].size),
        "calls": trace["calls"],
        "words": trace["words"],
        "grid": list(trace["word_maps"].shape[1:]),
        "average": [packed(plane) for plane in trace["word_maps"]],
        "frames": [
            {
                "i": frame["i"],
                "pictures": {name: data_uri(picture) for name, picture in frame["pictures"].items()},
                "maps": [packed(plane) for plane in frame["word_maps"]],
                "latents": [greys(channel) for channel in frame["latents"][:SHOWN_CHANNELS]],
            }
            for frame in trace["frames"]
        ],
        "latent_size": list(trace["frames"][0]["latents"].shape[1:]),
    }


def packed(plane: Maps) -> dict[str, Any]:
    """A map (h, w) with its range: bytes 0 to 255 from its least to its greatest value, base64."""
    low, high = float(plane.min()), float(plane.max())
    levels = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    return {"low": low, "high": high, "levels": base64.b64encode(np.round(levels * 255).astype(np.uint8).tobytes()).decode()}


def greys(channel: Maps) -> str:
    """One channel of latents (h, w) as bytes, base64."""
    unit = np.clip(np.nan_to_num(channel) / (2 * LATENT_RANGE) + 0.5, 0, 1)
    return base64.b64encode(np.round(unit * 255).astype(np.uint8).tobytes()).decode()


def u_diagram(parts: list[dict[str, Any]], width: int, height: int = 200) -> list[dict[str, Any]]:
    """Boxes of the U-Net for an SVG: deeper where it works on a smaller map, higher for a larger one, wider for more channels."""
    step, boxes = width / len(parts), list[dict[str, Any]]()
    sides = [part["shape"][2] for part in [parts[0], *parts[:-1]]]  # a part works on what the one before it puts out
    deepest, widest = max(log2(max(sides) / min(sides)), 1), max(part["shape"][1] for part in parts)
    for number, (part, side) in enumerate(zip(parts, sides, strict=True)):
        tall, wide = 0.6 * height * sqrt(side / max(sides)), max(0.72 * step * sqrt(part["shape"][1] / widest), 8)
        middle, y = step * (number + 0.5), (height - tall) * log2(max(sides) / side) / deepest
        boxes.append({**part, "middle": middle, "x": middle - wide / 2, "y": y, "w": wide, "h": tall, "skip": None})
    by_name = {box["part"]: box for box in boxes}
    levels = sum(name.startswith("down_blocks") for name in by_name)
    for level in range(levels):
        down, up = by_name[f"down_blocks.{level}"], by_name[f"up_blocks.{levels - 1 - level}"]
        down["skip"] = f"M{down['middle']:.1f} {down['y'] + down['h'] / 2:.1f}L{up['middle']:.1f} {up['y'] + up['h'] / 2:.1f}"
    return boxes
