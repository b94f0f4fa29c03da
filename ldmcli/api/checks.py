"""What the methods of a pipeline accept, each with the sentence that says what to pass instead."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ldmcli.config.checks import check, is_text
from ldmcli.data.cache import to_unit_range
from ldmcli.data.pictures import on_white
from ldmcli.diffusion.schedule import NoiseSchedule
from ldmcli.errors import UsageError
from ldmcli.runtime.pictures import BadPicture

# B latents, C latent channels, h w latent size, H W picture size


def texts_of(text: str | Sequence[str], call: str) -> list[str]:
    """One or several prompts. Raises UsageError."""
    texts = [text] if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [text]
    good = bool(texts) and all(isinstance(each, str) and is_text(each) for each in texts)
    check(good, f"{call} takes text, got {text!r:.80}.", 'Pass a prompt such as "a dog".')
    return texts


def one_text(text: str, call: str) -> str:
    """Raises UsageError."""
    check(isinstance(text, str), f"{call} takes one prompt as text, got {type(text).__name__}.", f"Call {call} once for each prompt.")
    return texts_of(text, call)[0]


def latents_of(value: Any, channels: int, call: str, *, one: bool = False) -> Tensor:
    """(B, C, h, w) float32; (C, h, w) is one. Raises UsageError."""
    wanted = f"({'1' if one else 'B'}, {channels}, h, w)"
    check(isinstance(value, Tensor), f"{call} takes latents as a tensor {wanted}, got {type(value).__name__}.",
          "encode_image, noise and the steps of sample give such tensors.")  # fmt: skip
    latents = value[None] if value.dim() == 3 else value
    fits = latents.dim() == 4 and latents.shape[1] == channels and latents.is_floating_point() and (not one or len(latents) == 1)
    check(fits, f"{call} takes latents of shape {wanted}, got {tuple(value.shape)} of {value.dtype}.",
          "One of several is latents[:1]." if one and latents.dim() == 4 and len(latents) > 1 else "")  # fmt: skip
    return latents.float()


def embedding_of(vectors: Any, mask: Any, wanted: tuple[int, int], call: str) -> tuple[Tensor, Tensor | None]:
    """(B, L, D) and (B, L), repeated where there is one for all; no mask where nothing is hidden. wanted: (B, D). Raises UsageError."""
    count, width = wanted
    good = isinstance(vectors, Tensor) and vectors.dim() == 3 and len(vectors) in (1, count) and vectors.shape[2] == width
    good = good and (mask is None or (isinstance(mask, Tensor) and mask.shape == vectors.shape[:2]))
    check(
        good, f"{call} takes vectors ({count}, L, {width}) and a mask ({count}, L).", f"Pass {call}(latents, timestep, *pipe.embed(text))."
    )
    hidden = mask is not None and not bool(mask.all())  # attention without a mask takes another way, and rounds otherwise
    return vectors.expand(count, -1, -1), mask.bool().expand(count, -1) if hidden else None


def timestep_of(value: Any, schedule: NoiseSchedule, call: str) -> int:
    """Raises UsageError."""
    last = schedule.num_timesteps - 1
    try:
        whole = operator.index(int(value) if float(value).is_integer() else value)
    except (TypeError, ValueError, OverflowError):
        whole = -1
    check(0 <= whole <= last, f"{call} takes a timestep from 0, the least noisy, to {last}, got {value!r}.")
    return whole


def picture_of(value: Any, call: str) -> Image.Image:
    """RGB, transparent parts white. Raises UsageError."""
    check(isinstance(value, Image.Image), f"{call} takes a Pillow picture, got {type(value).__name__}.",
          "PIL.Image.open(path) makes one of a file, PIL.Image.fromarray(array) of an array.")  # fmt: skip
    try:
        return on_white(value)
    except BadPicture as error:
        raise UsageError(f"{call}: {error}.") from error


def pixels_of(value: Any, multiple: int, call: str) -> Tensor:
    """(1, 3, H, W) in [-1, 1]. multiple: of both sides. Raises UsageError."""
    picture = picture_of(value, call)
    width, height = picture.size
    near = tuple(max(round(side / multiple), 1) * multiple for side in (width, height))
    check(picture.size == near, f"{call}: both sides must be multiples of {multiple}, the VAE's factor; got {width} x {height}.",
          f"Pass picture.resize({near}), or a part of it.")  # fmt: skip
    return to_unit_range(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None])
