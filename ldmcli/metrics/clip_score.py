"""CLIPScore in its two scales, and its floor: captions that belong to other pictures. Formulas on cosines and unit vectors."""

import torch
from torch import Tensor

# N pairs, P pictures, C captions, D width of the vectors

WEIGHT = 2.5
"""w of Hessel et al. 2021: stretches the cosines of OpenAI's CLIP, rarely above 0.4, over 0 to 1."""


def hessel_score(cosine: Tensor) -> Tensor:
    """CLIPScore = w max(cos, 0) of each pair (Hessel et al. 2021, eq. 1). cosine: (N,). Returns (N,)."""
    return WEIGHT * cosine.clamp(min=0)


def ref_clip_score(cosine: Tensor, to_references: Tensor) -> Tensor:
    """Harmonic mean of CLIPScore and the caption's cosine to its nearest reference, 0 where either is (Hessel et al. 2021, eq. 2).

    cosine: (N,) of picture and caption; to_references: (N,), the largest of caption and reference captions. Returns (N,).
    """
    a, b = hessel_score(cosine), to_references.clamp(min=0)
    return torch.where(a + b > 0, 2 * a * b / (a + b).clamp(min=1e-12), 0.0)


def others_mean(pictures: Tensor, captions: Tensor, belongs: Tensor) -> float:
    """Mean cosine over every picture with every caption that is not its own: what all shuffles would give on average.

    pictures: (P, D), captions: (C, D), unit vectors; belongs: (P, C) bool.
    """
    cosine = pictures.double() @ captions.double().T
    return cosine[~belongs].mean().item()


def permutation_p_value(pictures: Tensor, captions: Tensor, *, permutations: int = 1999, seed: int = 0) -> float:
    """How often captions dealt out at random fit at least as well: a one-sided permutation test of the mean cosine.

    pictures, captions: (N, D) unit vectors of the pairs. The smallest answer is 1 / (permutations + 1).
    """
    generator = torch.Generator().manual_seed(seed)
    matched = (pictures * captions).sum(dim=1).mean()
    dealt = torch.stack(
        [(pictures * captions[torch.randperm(len(captions), generator=generator)]).sum(dim=1).mean() for _ in range(permutations)]
    )
    return (1 + int((dealt >= matched).sum())) / (permutations + 1)
