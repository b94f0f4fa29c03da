"""The prompt in a picture of ComfyUI, which keeps the graph of nodes that drew it and no prompt as such."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import parse_json

Node = dict[str, Any]
"""`class_type`, and `inputs` by name: a value, or a link [id of the node, number of its output]."""

TEXT_INPUTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive", "string", "value")
"""Where a node keeps what was typed."""
PROMPTED = ("positive", "conditioning")
"""Inputs by which a sampler or its guider is told what to draw."""
NO_WORDS = frozenset(
    {"negative", "model", "clip", "vae", "image", "images", "pixels", "samples", "latent", "latent_image", "mask", "control_net"}
)
"""Inputs behind which no words of the prompt lie."""


def comfy_prompt(graph: Any) -> str | None:
    """What the sampler nearest to the saved picture was told to draw; texts that were combined, one after the other. None if unknown.

    graph: the JSON under `prompt`. Civitai's has a key more, in which the prompt stands.
    """
    if not isinstance(graph, dict):
        return None
    stated = _civitai(graph.get("extraMetadata"))
    if stated is not None:
        return stated
    nodes = {str(key): node for key, node in graph.items() if isinstance(node, dict) and isinstance(node.get("inputs"), dict)}
    sampler = next((key for key in _backwards(nodes, _ends(nodes)) if _told_by(nodes[key], nodes)), None)
    if sampler is None:
        return None
    texts = [text for key in _backwards(nodes, _told_by(nodes[sampler], nodes), stop_at_text=True) for text in _texts(nodes[key])]
    return ", ".join(dict.fromkeys(texts)) or None


def _civitai(extra: Any) -> str | None:
    try:
        stated = parse_json(extra, "") if isinstance(extra, str) else extra
    except LdmError:
        return None
    prompt = stated.get("prompt") if isinstance(stated, dict) else None
    return prompt if isinstance(prompt, str) else None


def _backwards(nodes: dict[str, Node], first: list[str], *, stop_at_text: bool = False) -> Iterator[str]:
    """These nodes, then those that feed them, the nearest first. stop_at_text: only where words may be, not behind them."""
    waiting, seen = deque(first), set(first)
    while waiting:
        key = waiting.popleft()
        yield key
        if stop_at_text and _texts(nodes[key]):
            continue
        names = [name for name in nodes[key]["inputs"] if not (stop_at_text and name in NO_WORDS)]
        for source in _linked(nodes[key], names, nodes):
            if source not in seen:
                seen.add(source)
                waiting.append(source)


def _ends(nodes: dict[str, Node]) -> list[str]:
    """The nodes that save pictures; without one, those that feed no other."""
    saving = [key for key, node in nodes.items() if str(node.get("class_type")).startswith(("SaveImage", "PreviewImage", "SaveAnimated"))]
    fed = {source for node in nodes.values() for source in _linked(node, list(node["inputs"]), nodes)}
    return saving or [key for key in nodes if key not in fed]


def _told_by(node: Node, nodes: dict[str, Node]) -> list[str]:
    """What tells a sampler or guider its prompt; nothing for another node."""
    inputs = node["inputs"]
    is_told = "negative" in inputs or "Guider" in str(node.get("class_type"))
    return _linked(node, [name for name in PROMPTED if name in inputs], nodes)[:1] if is_told else []


def _linked(node: Node, names: list[str], nodes: dict[str, Node]) -> list[str]:
    links = [node["inputs"][name] for name in names]
    return [str(link[0]) for link in links if isinstance(link, list) and len(link) == 2 and str(link[0]) in nodes]


def _texts(node: Node) -> list[str]:
    inputs = node["inputs"]
    texts = [inputs[name] for name in TEXT_INPUTS if name in inputs]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]
