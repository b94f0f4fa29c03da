"""What a `-m`, `--vae`, `--tokenizer` or `--text-encoder` means: which folder or file, and what is in it.

Imports no torch, so that a typo fails at once.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from ldmcli.config.shared import ModelOptions
from ldmcli.errors import LdmError, NotFound
from ldmcli.models.checkpoint import SCHEDULER, recognise
from ldmcli.models.compvis_yaml import stated_schedule
from ldmcli.models.folder_checks import check_configs, check_headers
from ldmcli.models.header import check_pickle, read_header
from ldmcli.models.hub import hub_folder, names_repository
from ldmcli.models.layout import NO_PICKLE, PARTS, STEMS, Picking, check_index, check_variant, is_pickle, is_safetensors
from ldmcli.models.lora_source import LoraSource, find_loras
from ldmcli.models.remote_model import remote_files, remote_model
from ldmcli.readers.json_text import WORDS_BYTES, check_file
from ldmcli.readers.rules import check
from ldmcli.readers.tables import SCHEDULER as RULES
from ldmcli.runtime.urls import public, url_of

BUNDLED = Path(__file__).parent / "bundled"

ACCEPTED = "Pass `bundled`, a training run, a diffusers folder, a .safetensors file or an id on the hub (OWNER/NAME)."

TOKENIZERS = (
    ("openai/clip-vit-large-patch14", ""),
    ("CompVis/stable-diffusion-v1-4", "tokenizer/"),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer/"),
    ("stabilityai/stable-diffusion-2-1", "tokenizer/"),
    ("stabilityai/stable-diffusion-2-1-base", "tokenizer/"),
)
"""Repositories, and the folder in them, that may be in the hub cache with CLIP's tokenizer: every SD 1.x and 2.x has the same."""

OPEN_CLIP_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"


@dataclass(frozen=True)
class Source:
    """A model. name: what the user is shown and the picture's metadata record (never a path).

    path: a folder in diffusers layout, or a checkpoint file. vae: the folder or file whose VAE is used. tokenizer: its folder.
    loras: what changes the weights once they are loaded. variant: of the weight files; prediction: epsilon or v, whatever the model says.
    """

    name: str
    path: Path
    vae: Path
    tokenizer: Path
    allow_pickle: bool = False
    loras: tuple[LoraSource, ...] = ()
    variant: str | None = None
    prediction: str | None = None

    @property
    def picking(self) -> Picking:
        """Which weight files are read."""
        return {"allow_pickle": self.allow_pickle, "variant": self.variant}

    def overrides(self) -> dict[str, str]:
        """What pictures record beside the weights, where it was asked for."""
        named = {"prediction": self.prediction, "variant": self.variant}
        return {name: value for name, value in named.items() if value is not None}


def find_source(options: ModelOptions) -> Source:
    """The model that the options name. The one place where options become a model. Raises as `find_model`."""
    return find_model(
        options.model, vae=options.vae, tokenizer=options.tokenizer, loras=options.loras, prediction=options.prediction,
        allow_pickle=options.allow_pickle, variant=options.variant,
    )  # fmt: skip


def find_model(
    text: str,
    *,
    vae: str | None = None,
    tokenizer: str | None = None,
    loras: Sequence[str] = (),
    prediction: str | None = None,
    **picking: Unpack[Picking],
) -> Source:
    """A whole pipeline: `bundled`, a training run, a diffusers folder, a checkpoint file or a hub id.

    vae: of another model, or a file, instead of its own; tokenizer: a folder instead of its own; loras: FILE:SCALE each;
    prediction: epsilon or v, instead of what the model says. Raises NotFound with what is missing, LdmError for a damaged file.
    """
    name, path = _locate(text, PARTS, **picking)
    if path.is_file():
        _check_file(path, *(("unet", "text_encoder") if vae else ("unet", "text_encoder", "vae")))
        words = find_tokenizer(tokenizer)
    else:
        _check_folder(text, path, **picking)
        words = path / "tokenizer" if tokenizer is None else find_tokenizer(tokenizer)
    from ldmcli.models.tokenizer_files import check_words  # with the tokenizers library, for which a component alone has no use

    check_words(words)
    source = Source(name, path, path, words, picking.get("allow_pickle", False), find_loras(loras), picking.get("variant"), prediction)
    return source if vae is None else replace(source, vae=find_component(vae, "vae", alone=True, **picking))


def find_component(text: str, name: str, *, alone: bool = False, beside: tuple[str, ...] = (), **picking: Unpack[Picking]) -> Path:
    """The model folder that holds a component (`vae`, `text_encoder`, ...); `text` may also be the component's own folder.

    alone: a file, or a component's folder of another name, will do too. beside: other parts that are got from the hub along with it.
    """
    _, path = _locate(text, (name, *beside), **picking)
    if path.is_file() and alone:
        _check_file(path, name)
        return path
    if (path / name).is_dir():
        check_configs(path, name)
        return path
    own = path.absolute()
    if (own / "config.json").is_file() and (alone or own.name == name):
        return own.parent if own.name == name else own
    raise NotFound(f"{public(text)} has no {name}/.", hint=f"Pass `bundled`, a training run or a diffusers folder with {name}/ in it.")


def holds_vae_alone(text: str) -> bool:
    """Whether this is a folder or run of train-vae, which has a VAE and no U-Net yet."""
    if not Path(text).expanduser().is_dir():
        return False
    try:
        return not (find_component(text, "vae") / "unet").exists()
    except NotFound:
        return False


def find_tokenizer(text: str | None) -> Path:
    """The folder with CLIP's tokenizer files: the one that is named, else one that is on this machine already."""
    if text is not None:
        url = url_of(text)
        folder = Path(text).expanduser() if url is None else remote_files(url, ("*.json", "*.txt"))
        if folder.name == OPEN_CLIP_VOCABULARY and folder.is_file():
            check_file(folder, WORDS_BYTES)
            return folder
        if not folder.is_dir():
            raise NotFound(f"--tokenizer {public(text)}: no such folder.", hint="A folder with vocab.json and merges.txt is needed.")
        return folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    from huggingface_hub import try_to_load_from_cache

    for repo, where in TOKENIZERS:
        found = [try_to_load_from_cache(repo, f"{where}{name}") for name in ("vocab.json", "merges.txt", "tokenizer_config.json")]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[0])).parent
    for package in ("open_clip", "clip"):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(place) / OPEN_CLIP_VOCABULARY).is_file():
                return Path(place) / OPEN_CLIP_VOCABULARY
    raise NotFound(
        "a checkpoint file holds no tokenizer, and CLIP's is not on this machine.",
        hint=f"Pass --tokenizer DIR with its vocab.json and merges.txt, or get it once: hf download {TOKENIZERS[0][0]} "
        "vocab.json merges.txt tokenizer_config.json; or pip install open_clip_torch.",
    )


def _locate(text: str, parts: tuple[str, ...], **picking: Unpack[Picking]) -> tuple[str, Path]:
    """The name of a model and the folder or file it stands for."""
    if text == "bundled":
        return "bundled", BUNDLED
    if url := url_of(text):
        return remote_model(url, parts, **picking)
    try:
        path = Path(text).expanduser()
        exists = bool(text) and path.exists()
    except (OSError, RuntimeError):  # a name that is too long, a home of nobody
        exists = False
    if exists and path.is_file():
        if is_pickle(path) and not picking.get("allow_pickle"):
            raise LdmError(f"{text} is a pickle, which can run code when loaded; refused.", hint=NO_PICKLE)
        if not is_pickle(path) and not is_safetensors(path):
            raise NotFound(f"{text} is a file, and not a .safetensors one.", hint=ACCEPTED)
        return path.stem, path
    if exists:
        return path.resolve().name, path / "model" if (path / "model").is_dir() else path
    if names_repository(text):
        return text, hub_folder(text, parts, **picking)
    raise NotFound(f"no model at {text!r}.", hint=ACCEPTED)


def _check_file(path: Path, *needed: str) -> None:
    """What shows at once: a damaged file, or one of another model. What a pickle holds only the loading knows."""
    if is_safetensors(path):
        recognise(path, read_header(path).shapes, *needed)
        if "unet" in needed:
            check({**SCHEDULER, **stated_schedule(path)}, RULES, f"{path} or the .yaml beside it")
    else:
        check_pickle(path)


def _check_folder(text: str, folder: Path, **picking: Unpack[Picking]) -> None:
    missing = [part for part in PARTS if not (folder / part).exists()]
    if "model_index.json" not in missing:
        check_index(folder)  # a model of another kind lacks parts because of that
    if missing and (folder / "vae").is_dir() and "unet" in missing:
        raise NotFound(f"{public(text)} holds a VAE but no U-Net yet.", hint=f"Train one: ldm train-unet --data DIR --vae {public(text)}")
    if missing:
        raise NotFound(f"{public(text)} is not a model: {', '.join(missing)} missing in {folder}.", hint=ACCEPTED)
    check_configs(folder)
    check_variant([path.name for name in STEMS for path in (folder / name).iterdir()], text, picking.get("variant"))
    for part in STEMS:
        check_headers(folder, part, **picking)
