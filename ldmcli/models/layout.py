"""The files of a model folder in diffusers layout: what must be there, which weights are taken, what is refused. Imports no torch."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ldmcli.errors import LdmError, NotFound
from ldmcli.readers import json_text
from ldmcli.readers.rules import Rule, check
from ldmcli.readers.tables import MODEL_INDEX, SHARDS

PARTS = ("model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler")

SUPPORTED = "Stable Diffusion 1.x and 2.x models are supported."

CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
"""What each part must be; ours read their files."""

UNUSED = ("scheduler", "safety_checker", "feature_extractor", "image_encoder")
"""Parts whose classes do not matter: of the scheduler only the config is read, the others not at all."""

LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)

STEMS = {"vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model", "text_encoder": "model"}

PICKLES = (".bin", ".ckpt", ".pt", ".pth")

SAFETENSORS = ".safetensors"

NO_PICKLE = "Get the model as .safetensors; if you trust who made it, --allow-pickle reads it without running its code."


class Picking(TypedDict, total=False):
    """Which of a component's weight files is read. variant: fp16, bf16, non_ema, ... where there is such a one; None is none."""

    allow_pickle: bool
    variant: str | None


UNASKED = "fp16"
"""The variant that is taken where there are no other weights: the same ones, rounded."""


def is_pickle(path: Path) -> bool:
    """By its ending, in capitals too."""
    return path.suffix.lower() in PICKLES


def is_safetensors(path: Path) -> bool:
    """By its ending, in capitals too."""
    return path.suffix.lower() == SAFETENSORS


def weight_names(name: str, *, allow_pickle: bool = False, variant: str | None = None) -> list[str]:
    """File names under which the weights of a component are published, the best first. An index names the files of sharded weights."""
    stem = STEMS[name]
    kinds = [(stem, "safetensors"), (stem if stem.startswith("diffusion") else f"pytorch_{stem}", "bin")][: 1 + allow_pickle]

    def names(stem: str, kind: str, variant: str | None) -> list[str]:
        dot = f".{variant}" if variant else ""
        return [f"{stem}{dot}.{kind}", f"{stem}.{kind}.index{dot}.json"]

    variant_names = [file for kind in kinds if variant for file in names(*kind, variant)]
    return variant_names + [file for kind in kinds for plain in (None, UNASKED) for file in names(*kind, plain)]


VARIANT = r"(?:diffusion_pytorch_|pytorch_)?model(?:\.(\w+)\.(?:safetensors|bin)|\.(?:safetensors|bin)\.index\.(\w+)\.json)"


def variants(files: Collection[str]) -> list[str]:
    """The variants that some of these files are: `diffusion_pytorch_model.bf16.safetensors` is bf16."""
    found = [re.fullmatch(VARIANT, file.rpartition("/")[2]) for file in files]
    return sorted({match[1] or match[2] for match in found if match})


def check_variant(files: Collection[str], where: str, variant: str | None) -> None:
    """Raise NotFound unless a component has the variant. Those that lack it are taken without, as diffusers does."""
    found = variants(files)
    if variant and variant not in found:
        has = f"it has {', '.join(found)}, and those without a name" if found else "its weights have no variants"
        raise NotFound(f"{where} has no weights of the variant {variant}: {has}.", hint="Name one of these, or leave out --variant.")


def best_weights(files: Collection[str], name: str, where: str, **picking: Unpack[Picking]) -> str:
    """The file among `files` to take a component's weights from. Raises LdmError for pickles, NotFound for nothing."""
    for candidate in weight_names(name, **picking):
        if candidate in files:
            return candidate
    pickled = [file for file in sorted(files) if file.endswith(PICKLES)]
    if pickled and not picking.get("allow_pickle"):
        raise LdmError(f"{where} has only pickled weights ({pickled[0]}), which can run code when loaded; refused.", hint=NO_PICKLE)
    others = variants(files)
    if others:
        raise NotFound(
            f"{where} holds its weights only as the variant {' and '.join(others)}.", hint=f"Take it with --variant {others[0]}."
        )
    raise NotFound(f"{where}/{weight_names(name)[0]} is missing.", hint="The download may be unfinished.")


def weight_files(model: Path, name: str, **picking: Unpack[Picking]) -> list[Path]:
    """The files that hold a component's weights: one, the shards of one, or `model` itself where that is a checkpoint file."""
    if model.is_file():
        return [model]
    folder = component_folder(model, name)
    files = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    best = folder / best_weights(files, name, str(folder), **picking)
    return [folder / shard for shard in shard_names(best)] if best.suffix == ".json" else [best]


def shard_names(index: Path) -> list[str]:
    """The files that a *.index.json lists. Raises LdmError unless they lie beside it and are of the kind that its own name says."""
    listed = read_json(index, SHARDS, most=json_text.WORDS_BYTES)["weight_map"]
    if not listed or not all(Path(file).name == file for file in listed.values()):
        raise LdmError(f"{index} has no usable weight_map.", hint="Get the file again.")
    kind = ".safetensors" if ".safetensors.index." in index.name else ".bin"
    others = [file for file in listed.values() if not file.endswith(kind)]
    if others:  # an index of safetensors would otherwise lead to a pickle
        raise LdmError(f"{index} lists {others[0]}, which is no {kind} file; refused.", hint="Get the model from its makers.")
    return sorted(set(listed.values()))


def component_folder(model: Path, name: str) -> Path:
    """`model/name`, or `model` itself where that is the component's own folder, as repositories with a VAE alone are."""
    own = (model / "config.json").is_file() and not (model / name).is_dir()
    return model if own else model / name


def check_index(folder: Path) -> None:
    """Raise LdmError that names what model_index.json asks for and we do not have. Nothing that it names is ever imported."""
    path = folder / "model_index.json"
    index = read_json(path, MODEL_INDEX)
    kind = index.get("_class_name")
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or entry == [None, None]:
            continue
        library, kind_of_part = entry if len(entry) == 2 else (None, entry)
        expected = CLASSES.get(name, () if name not in UNUSED else (kind_of_part,))
        if library not in LIBRARIES or kind_of_part not in expected:
            named = f"{library}.{kind_of_part}" if library else str(kind_of_part)
            raise LdmError(f"{path}: {kind} with {named} as its {name} is not supported; no code was run.", hint=SUPPORTED)
        if name == "scheduler":
            check_process(str(kind_of_part), str(path))
    if not isinstance(kind, str | None):
        raise LdmError(f"{path}: the pipeline {kind!r} brings its own code, which is never run.", hint=SUPPORTED)


OTHER_PROCESSES = {
    "Flow": "flow matching", "EDM": "the preconditioning of EDM", "CMStochastic": "consistency models", "VQ": "discrete diffusion",
    "ScoreSde": "score-based SDEs", "KarrasVe": "variance exploding diffusion",
}  # fmt: skip
"""Beginnings of the names of diffusers' schedulers for networks that predict neither epsilon nor v."""


def check_process(scheduler: str, where: str) -> None:
    """Raise LdmError that names a scheduler of another process than diffusion by steps of a noise schedule (Ho et al. 2020)."""
    for start, process in OTHER_PROCESSES.items():
        if scheduler.startswith(start):
            raise LdmError(f"{where}: the scheduler {scheduler} is for {process}, which is not supported.", hint=SUPPORTED)


def ldm_settings(model: Path) -> dict[str, Any]:
    """What `ldm` wrote about a model of its own into model_index.json; empty for any other."""
    return {} if model.is_file() else read_json(model / "model_index.json", MODEL_INDEX).get("_ldm", {})


def read_json(path: Path, rule: Rule | None = None, *, most: int = json_text.CONFIG_BYTES) -> dict[str, Any]:
    """An object that keeps to the rule, of at most so many bytes. Raises NotFound or LdmError that names the file."""
    try:
        body = json_text.read_json(path, most=most)
    except NotFound as error:
        raise NotFound(f"{path} is missing.", hint="A model is a folder in diffusers layout, with model_index.json.") from error
    if not isinstance(body, dict):
        raise LdmError(f"{path} does not hold a JSON object.")
    if rule is not None:
        check(body, rule, str(path))
    return body
