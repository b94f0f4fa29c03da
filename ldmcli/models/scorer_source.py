"""What a `--clip-model` means: which folder holds the CLIP. Imports no torch, so that a typo fails at once."""

from dataclasses import dataclass
from pathlib import Path

from ldmcli.errors import LdmError, NotFound
from ldmcli.models.hub import files_on_hub, names_repository
from ldmcli.models.remote_model import remote_files
from ldmcli.readers.json_text import read_json
from ldmcli.readers.tables import PROCESSOR, SCORER
from ldmcli.runtime.urls import public, url_of

BUNDLED_SCORER = Path(__file__).parent / "bundled_scorer"
DEFAULT_CLIP = "openai/clip-vit-large-patch14"

SETTINGS = {"config.json": SCORER, "preprocessor_config.json": PROCESSOR}

READ_FILES = ("*.json", "*.txt", "*.safetensors")
"""All that is fetched of a repository: no pickled weights, no code."""


@dataclass(frozen=True)
class ScorerSource:
    """A folder in the layout of transformers' CLIPModel. name: what results are labelled with."""

    name: str
    folder: Path


def scorer_for(model: str | None) -> str:
    """The scorer of pictures when none is named. model: what drew them all, as they record it."""
    return "bundled" if model == "bundled" else DEFAULT_CLIP


def find_scorer(text: str, *, offline: bool = False) -> ScorerSource:
    """`bundled`, a folder, or a hub id, which is looked for in the cache and then fetched. Raises NotFound."""
    if text == "bundled":
        return ScorerSource("bundled", BUNDLED_SCORER)
    url = url_of(text)
    path = Path(text).expanduser() if url is None else remote_files(url, READ_FILES)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NotFound(
                f"--clip-model {public(text)} has no config.json.", hint="Pass a folder that CLIPModel.save_pretrained has written."
            )
        check_settings(path)
        return ScorerSource(path.resolve().name if url is None else public(url).rstrip("/").rpartition("/")[2], path)
    if not names_repository(text):
        raise NotFound(f"no CLIP model at {text!r}.", hint="Pass `bundled`, a folder or a hub id such as openai/clip-vit-base-patch32.")
    return ScorerSource(text, _fetched(text, offline=offline))


def check_settings(folder: Path) -> None:
    """Raise LdmError for a CLIP's settings that cannot be."""
    for name, rule in SETTINGS.items():
        if (folder / name).is_file():
            read_json(folder / name, rule)


def _fetched(hub_id: str, *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    advice = "Use --clip-model bundled or a folder; or fetch it where there is a network: "
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(READ_FILES), local_files_only=offline or not _answers(hub_id)))
    except OSError as error:
        answer = getattr(error, "response", None)
        if answer is not None and answer.status_code in (401, 403, 404):
            raise NotFound(f"the hub has no CLIP model {hub_id} that it shows to you.", hint="See its page on the hub.") from error
        why = "--offline" if offline else "the hub cannot be reached"
        raise NotFound(f"the CLIP model {hub_id} is not in the cache, and {why}.", hint=f"{advice}hf download {hub_id}") from error
    except ValueError as error:
        raise LdmError(f"--clip-model {hub_id}: {error}") from error


def _answers(hub_id: str) -> bool:
    """Whether the hub can be reached; if not, the cache alone is looked at. Raises what the hub answers instead of files."""
    try:
        files_on_hub(hub_id)
    except Exception as error:  # the hub's client and the network below it have no common family
        if getattr(error, "response", None) is not None:
            raise
        return False
    return True
