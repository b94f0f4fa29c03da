"""What a `-m`, `--vae` or `--text-encoder` means: which folder, and what is in it. Imports no torch, so that a typo fails at once."""

from dataclasses import dataclass
from pathlib import Path

from ldmcli.errors import NotFound

BUNDLED = Path(__file__).parent / "bundled"

PARTS = ("model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class Source:
    """A model folder in diffusers layout. name: what the user is shown and the picture's metadata record (never a path)."""

    name: str
    folder: Path


def find_model(text: str) -> Source:
    """A whole pipeline: `bundled`, a training run or a diffusers folder. Raises NotFound with what is missing."""
    source = _locate(text)
    missing = [part for part in PARTS if not (source.folder / part).exists()]
    if missing and (source.folder / "vae").is_dir() and "unet" in missing:
        raise NotFound(f"{text} holds a VAE but no U-Net yet.", hint=f"Train one: ldm train-unet --data DIR --vae {text}")
    if missing:
        raise NotFound(
            f"{text} is not a model: {', '.join(missing)} missing in {source.folder}.", hint="Pass a training run or a diffusers folder."
        )
    return source


def find_component(text: str, name: str) -> Path:
    """The model folder that holds a component (`vae`, `text_encoder`, ...); `text` may also be the component's own folder."""
    source = _locate(text)
    if (source.folder / name).is_dir():
        return source.folder
    own = source.folder.absolute()
    if (own / "config.json").is_file() and own.name == name:
        return own.parent
    raise NotFound(f"{text} has no {name}/.", hint=f"Pass `bundled`, a training run or a diffusers folder with {name}/ in it.")


def _locate(text: str) -> Source:
    if text == "bundled":
        return Source("bundled", BUNDLED)
    try:
        path = Path(text).expanduser()
        there = bool(text) and path.exists()
    except (OSError, RuntimeError):  # a name that is too long, a home of nobody
        there = False
    if not there:
        raise NotFound(f"no model at {text!r}.", hint="Pass `bundled`, a training run or a diffusers folder.")
    if not path.is_dir():
        raise NotFound(f"{text} is a file; a model is a folder here.", hint="Pass `bundled`, a training run or a diffusers folder.")
    if (path / "model").is_dir():
        return Source(path.resolve().name, path / "model")
    return Source(path.resolve().name, path)
