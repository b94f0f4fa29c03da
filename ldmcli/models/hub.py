"""Models by their id on the hub: the cache first, then the network, and only the files that are read. Imports no torch."""

import queue
import re
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Unpack

from ldmcli.errors import LdmError, NotFound
from ldmcli.models.layout import (
    PICKLES,
    STEMS,
    Picking,
    best_weights,
    check_index,
    check_variant,
    component_folder,
    shard_names,
    weight_files,
)
from ldmcli.runtime.remote import offline

WITHOUT_NETWORK = "Pass a folder or a .safetensors file, or get it where there is a network: hf download {repo}"

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
ANSWER_S = 3.5
"""What is not reached in this time is not reached."""


def hub_folder(repo: str, parts: Collection[str], **picking: Unpack[Picking]) -> Path:
    """A snapshot that holds these parts. Raises NotFound when neither cache nor hub has it, LdmError when there are only pickles.

    parts: `model_index.json` and folders of a model; a repository with one component alone has its files at the top.
    """
    found = cached_folder(repo, parts, **picking)
    if found is not None:
        return found
    if offline():
        raise NotFound(
            f"{repo} is not in the hub cache as a whole, and the network is not to be used.",
            hint=f"{WITHOUT_NETWORK.format(repo=repo)}; or leave out --offline (HF_HUB_OFFLINE).",
        )
    return _downloaded(repo, parts, **picking)


def cached_folder(repo: str, parts: Collection[str], **picking: Unpack[Picking]) -> Path | None:
    """The newest snapshot in the cache, if it is whole."""
    from huggingface_hub import try_to_load_from_cache

    first = "model_index.json" if "model_index.json" in parts else None
    names = [first] if first else [name for part in parts for name in (f"{part}/config.json", "config.json")]
    for name in names:
        path = try_to_load_from_cache(repo, name)
        if isinstance(path, str):
            folder = Path(path).parents[name.count("/")]
            return folder if _is_whole(folder, parts, **picking) else None
    return None


def _is_whole(folder: Path, parts: Collection[str], **picking: Unpack[Picking]) -> bool:
    found: list[str] = []
    try:
        for part in parts:
            if part in STEMS:
                needed = [component_folder(folder, part) / "config.json", *weight_files(folder, part, **picking)]
                if not all(path.is_file() for path in needed):
                    return False
                found += [path.name for path in component_folder(folder, part).iterdir()]
            elif not (folder / part).exists():
                return False
        if "model_index.json" in parts:
            check_variant(found, str(folder), picking.get("variant"))
    except LdmError:  # only pickles or another variant in the cache: the hub may have better
        return False
    return True


def _downloaded(repo: str, parts: Collection[str], **picking: Unpack[Picking]) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        files = files_on_hub(repo)
        if "model_index.json" in parts and "model_index.json" in files:  # before gigabytes of another kind of model are got
            check_index(Path(hf_hub_download(repo, "model_index.json")).parent)
        patterns = []
        for name in files_to_get(files, parts, repo, **picking):
            patterns.append(name)
            if ".index." in name:
                folder = name.rpartition("/")[0]
                patterns += [f"{folder}/{shard}".lstrip("/") for shard in shard_names(Path(hf_hub_download(repo, name)))]
        return Path(snapshot_download(repo, allow_patterns=patterns))
    except LdmError:
        raise
    except GatedRepoError as error:
        raise NotFound(f"{repo} asks for its licence to be accepted.", hint="Accept it on the hub's page, then: hf auth login") from error
    except RepositoryNotFoundError as error:
        raise NotFound(f"no model at {repo!r}, here or on the hub.", hint="`ldm generate --list-models` lists what is here.") from error
    except Exception as error:  # the hub's client and the network below it have no common family
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NotFound(f"{repo} could not be got from the hub: {reason}", hint=f"{WITHOUT_NETWORK.format(repo=repo)}.") from error


def names_repository(text: str) -> bool:
    """Whether a text that is no path here may be an id on the hub. A path that was mistyped is not: its folder is here, or it ends as
    weights do."""
    if len(text) >= 200 or not HUB_ID.fullmatch(text):
        return False
    path = Path(text)
    return not path.parent.is_dir() and path.suffix.lower() not in (".safetensors", *PICKLES)


def files_on_hub(repo: str) -> list[str]:
    """Names of a repository's files. Raises what the hub's client does, and TimeoutError where there is no answer after ANSWER_S.

    It is asked once, by another thread: the client would try again and again, and looking up a name cannot be cut short.
    """
    from huggingface_hub import HfApi

    answers: queue.Queue[list[str] | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put([file.rfilename for file in HfApi().model_info(repo, timeout=ANSWER_S).siblings or ()])
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_S)
    except queue.Empty:
        raise TimeoutError(f"no answer within {ANSWER_S:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def files_to_get(files: Collection[str], parts: Collection[str], repo: str, **picking: Unpack[Picking]) -> Iterator[str]:
    """Of all files of a repository those that are read: configs, tokenizer, and one kind of weights per component."""
    if "model_index.json" in parts:
        check_variant(files, repo, picking.get("variant"))
    for part in parts:
        if part in STEMS:
            prefix = f"{part}/" if f"{part}/config.json" in files else ""
            beside = [name.removeprefix(prefix) for name in files if name.startswith(prefix)]
            yield f"{prefix}config.json"
            yield prefix + best_weights(beside, part, f"{repo}/{part}", **picking)
        elif part in files:
            yield part
        elif any(name.startswith(f"{part}/") for name in files):
            yield from (name for name in files if name.startswith(f"{part}/") and name.endswith((".json", ".txt")))
        else:
            raise NotFound(f"{repo} on the hub is not a model: it has no {part}.", hint="A repository in diffusers layout is needed.")


def cached_models() -> Iterator[tuple[str, Path, int]]:
    """(id, newest snapshot, bytes) of every whole pipeline in the cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos: Any = scan_cache_dir().repos
    except (CacheNotFound, OSError):
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        newest = max(repo.revisions, key=lambda revision: revision.last_modified, default=None)
        if repo.repo_type == "model" and newest and (newest.snapshot_path / "model_index.json").is_file():
            yield repo.repo_id, newest.snapshot_path, newest.size_on_disk
