"""Which CLIP scores a comparison, and what to say when there is none."""

import torch

from ldmcli.errors import LdmError
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.models.scorer_source import BUNDLED_SCORER, DEFAULT_CLIP, find_scorer
from ldmcli.models.source import BUNDLED, Source


def open_scorer(name: str, source: Source, device: torch.device) -> tuple[Scorer | None, str]:
    """The scorer and a sentence about it.

    name: `auto` is the bundled one for the bundled model and else OpenAI's ViT-L/14, if that is in the cache: nothing large is fetched
    unasked, and a comparison is of use without it. A scorer that was named must be there: raises NotFound or LdmError.
    """
    if name == "none":
        return None, "no CLIPScore, as asked"
    if name != "auto":
        scorer = load_scorer(name, device)
        return scorer, f"CLIPScore by {scorer.name}"
    try:
        if source.path == BUNDLED and not BUNDLED_SCORER.is_dir():
            return None, "no CLIPScore: no scorer is bundled here; --clip-model names another"
        if source.path == BUNDLED:
            return load_scorer("bundled", device), "CLIPScore by the bundled scorer, whose scores compare only among themselves"
        return load_scorer(find_scorer(DEFAULT_CLIP, offline=True), device), f"CLIPScore by {DEFAULT_CLIP}"
    except LdmError as error:
        return None, f"no CLIPScore: {error.message.rstrip('.')}"
