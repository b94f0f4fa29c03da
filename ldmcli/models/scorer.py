"""A CLIP that says how well a caption fits a picture (Radford et al. 2021). The only module that imports transformers' CLIPModel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ldmcli.errors import LdmError, NonFinite, NotFound
from ldmcli.models.folder_checks import check_tokenizer
from ldmcli.models.layout import read_json
from ldmcli.models.scorer_source import ScorerSource, find_scorer
from ldmcli.readers.json_text import CONFIG_BYTES, WORDS_BYTES
from ldmcli.readers.tables import NUMBERS, PROCESSOR, SCORER, SHARDS, TOKENIZER

BESIDE = {
    "preprocessor_config.json": (PROCESSOR, CONFIG_BYTES), "model.safetensors.index.json": (SHARDS, WORDS_BYTES),
    "tokenizer.json": (TOKENIZER, WORDS_BYTES), "vocab.json": (NUMBERS, WORDS_BYTES),
}  # fmt: skip
"""What transformers reads beside config.json: checked before it does."""

# N pictures or captions, D width of the space that both share


@dataclass
class Scorer:
    """Pictures and captions to vectors of one space, in fp32. name: which CLIP this is."""

    name: str
    model: Any
    tokenizer: Any
    processor: Any
    device: torch.device
    batch_size: int = 32

    @property
    def max_tokens(self) -> int:
        """Tokens of a caption, start and end among them: 77 for OpenAI's."""
        return self.model.config.text_config.max_position_embeddings

    def score(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> Tensor:
        """Cosine of each picture with the caption beside it. Returns (N,) float32 on the CPU."""
        if len(pictures) != len(captions):
            raise ValueError(f"{len(pictures)} pictures, {len(captions)} captions")
        return (self.embed_pictures(pictures) * self.embed_captions(captions)).sum(dim=1)

    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Unit vectors (N, D) on the CPU. Pictures are 8-bit: floats would be scaled by 1/255 twice, without an error."""
        parts = []
        for first in range(0, len(pictures), self.batch_size):
            rows = [picture.convert("RGB") for picture in pictures[first : first + self.batch_size]]
            pixels = self.processor(rows, return_tensors="pt")["pixel_values"]
            parts.append(self._unit(self.model.get_image_features(pixels.to(self.device))))
        return torch.cat(parts)

    @torch.inference_mode()
    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors (N, D) on the CPU. The tokenizer cuts long captions and keeps the end token, from which CLIP reads its answer."""
        parts = []
        for first in range(0, len(captions), self.batch_size):
            rows = list(captions[first : first + self.batch_size])
            tokens = self.tokenizer(rows, return_tensors="pt", padding=True, truncation=True, max_length=self.max_tokens)
            ids, mask = tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)
            parts.append(self._unit(self.model.get_text_features(ids, attention_mask=mask)))
        return torch.cat(parts)

    def count_truncated(self, captions: Sequence[str]) -> int:
        """How many captions do not fit whole."""
        return sum(len(ids) > self.max_tokens for ids in self.tokenizer(list(captions))["input_ids"])

    def _unit(self, features: Any) -> Tensor:
        vectors = F.normalize(getattr(features, "pooler_output", features).float(), dim=-1).cpu()  # transformers 5, and before
        if not vectors.isfinite().all():
            raise NonFinite(f"the scorer {self.name} gives NaN or infinity.", hint="Are its weights whole?")
        return vectors


def load_scorer(name: str | ScorerSource, device: torch.device | str = "cpu", *, batch_size: int = 32) -> Scorer:
    """`bundled`, a folder or a hub id. Raises NotFound, and LdmError for anything that is not a whole CLIP."""
    source = find_scorer(name) if isinstance(name, str) else name
    config = read_json(source.folder / "config.json", SCORER)
    check_tokenizer(source.folder)
    for name, (rule, most) in BESIDE.items():
        if (path := source.folder / name).is_file():
            read_json(path, rule, most=most)
    if config.get("model_type") != "clip":
        raise LdmError(
            f"--clip-model {source.name} is a {config.get('model_type')!r} model, not a CLIP.",
            hint="Models of transformers' CLIPModel fit.",
        )
    if not list(source.folder.glob("*.safetensors")):
        raise NotFound(f"{source.folder} has no .safetensors weights.", hint="Pickled weights can run code when loaded; convert them.")

    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, report = CLIPModel.from_pretrained(
            source.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        tokenizer = CLIPTokenizer.from_pretrained(source.folder, local_files_only=True)
        processor = CLIPImageProcessorPil.from_pretrained(source.folder, local_files_only=True)
    except Exception as error:  # transformers, tokenizers and safetensors each raise their own
        raise LdmError(f"--clip-model {source.name} cannot be loaded: {str(error).splitlines()[0]}", hint="Get its files again.") from error
    absent = [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]
    if absent:  # transformers fills these with random numbers and says nothing
        raise LdmError(
            f"--clip-model {source.name} lacks weights, {absent[0]} for one ({len(absent)} in all).", hint="Get its files again."
        )
    if len(tokenizer) > model.config.text_config.vocab_size or len(set(map(tuple, tokenizer(["a cat", "a dog"])["input_ids"]))) == 1:
        raise LdmError(f"--clip-model {source.name}: its tokenizer is missing or belongs to another model.", hint="Get its files again.")
    target = torch.device(device)
    return Scorer(source.name, model.eval().requires_grad_(False).to(target), tokenizer, processor, target, batch_size)
