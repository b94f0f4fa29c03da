"""The one door to files of other machines: s3://, gs://, hf:// and https://, by fsspec (extra `remote`). Imports no torch.

A request that fails for want of a network is made again, with pauses between, until PATIENCE_S are over; every single one has an end.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.runtime.urls import SECRET, public

NEEDED = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp"}
"""The package behind each scheme."""
WRITABLE = ("s3", "gs")
"""Where an object is there as a whole or not at all."""

CONNECT_S, ANSWER_S, SLOWEST = 5.0, 30.0, 100_000
"""Seconds for a connection and for an answer, and bytes a second that a connection has at least: one that is slower is given up."""
PATIENCE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 90.0, 0.2, 5.0
"""How long a request is tried again before the run ends, and how long the pauses are."""
PIECE = 1 << 24
"""Bytes that are got at once: what a connection that breaks off costs."""
TAGS = ("ETag", "etag", "md5Hash", "blob_id", "Content-MD5", "Last-Modified", "LastModified", "mtime")
"""Names under which file systems tell one version of a file from another, the best first."""


@dataclass(frozen=True)
class RemoteFile:
    """One version of a file. size: bytes, None where the server does not say; tag: what changes when the file does, "" for none."""

    url: str
    size: int | None
    tag: str


def offline() -> bool:
    """--offline sets the variable before huggingface_hub is imported, which reads it once."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def look_up(url: str) -> RemoteFile:
    """What a file is now. Raises NotFound and LdmError."""
    info = _asked(url, "info")
    if info.get("type") == "directory":
        raise NotFound(f"{public(url)} is a folder; a file is needed.")
    return _described(url, info)


def list_files(url: str, *, empty: bool = False) -> list[RemoteFile]:
    """All files in a folder and below it, in the order of their names. Raises NotFound where there is none, unless `empty`,
    and LdmError for one that would lie outside of a copy of the folder."""
    root = url.rstrip("/")
    scheme, start = root.partition("://")[0], _system(root)[1].rstrip("/") + "/"
    found = _asked(f"{root}/", "find", detail=True)
    names = {
        name: info for name, info in found.items()
        if name.startswith(start) and not name.endswith("/") and info.get("type") != "directory"  # an empty object may stand for a folder
    }  # fmt: skip
    if strange := next((name for name in sorted(names) if _leads_out(name[len(start) :])), None):
        raise LdmError(f"{public(url)}: the name {strange[len(start) :]!r} leads out of the folder; refused.")
    if not names and not empty:
        raise NotFound(f"{public(url)}: no such folder, or nothing in it.")
    if scheme in ("http", "https"):  # a page of links, which says nothing of the files
        return [look_up(name) for name in sorted(names)]
    return [_described(f"{scheme}://{name}", names[name]) for name in sorted(names)]


def _leads_out(name: str) -> bool:
    """Whether a name below a folder is one that a disk would put elsewhere, or nowhere."""
    return not {"", ".", ".."}.isdisjoint(name.split("/")) or "\0" in name


def fetch(file: RemoteFile, target: Path) -> None:
    """Get a file piece by piece. target: is written, and of no use where this fails.

    Raises LdmError when it is another one meanwhile, and where nobody says how large it is.
    """
    if file.size is None:  # it could be cut short unseen, and may have no end
        raise LdmError(f"{public(file.url)}: the server does not say how large it is.", hint="Get it by other means, and name the copy.")
    with target.open("wb") as part:
        part.truncate(file.size)  # what is coming counts as used already
        at = 0
        while at < file.size:
            piece = _asked(file.url, "cat_file", start=at, end=min(at + PIECE, file.size), check=_is_piece(at, file.size))
            part.write(piece)
            at += len(piece)
        part.flush()
        os.fsync(part.fileno())
    now = look_up(file.url)
    if now.size != file.size or (now.tag != file.tag and not file.url.startswith("hf:")):  # the hub's lists have other tags
        raise LdmError(f"{public(file.url)} was changed while it was read.", hint="Start again.")


def store(local: Path, url: str) -> None:
    """Write a file there, as a whole or not at all. Raises LdmError."""
    size = local.stat().st_size
    _asked(url, "put_file", str(local), swapped=True, seconds=ANSWER_S + size / SLOWEST)


def remove(url: str) -> None:
    """Delete a file that may be gone already."""
    try:
        _asked(url, "rm_file")
    except NotFound:
        pass


def check_writable(url: str) -> None:
    """Raises UsageError where files cannot be written."""
    if url.partition("://")[0] not in WRITABLE:
        raise UsageError(f"-o {public(url)}: results are written to {' and '.join(f'{scheme}://' for scheme in WRITABLE)} or a disk.")


def _is_piece(start: int, size: int) -> Callable[[bytes], bool]:
    """Whether an answer is the piece that was asked for; a server that knows no pieces sends the whole file, which will do at the start."""
    return lambda body: len(body) == min(PIECE, size - start) or (start == 0 and len(body) == size)


def _described(url: str, info: dict[str, Any]) -> RemoteFile:
    size = info.get("size")
    tag = next((str(info[name]) for name in TAGS if info.get(name)), "")
    return RemoteFile(url, None if size is None else int(size), tag)


def _asked(
    url: str, what: str, *words: Any, swapped: bool = False, check: Callable[[Any], bool] = lambda answer: True,
    seconds: float = ANSWER_S + PIECE / SLOWEST, **more: Any,
) -> Any:  # fmt: skip
    """The answer to a request. swapped: the URL comes last; check: whether it is a whole one; seconds: for a single try."""
    system, place = _system(url)
    arguments = (*words, place) if swapped else (place, *words)
    until, pause = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
    while True:
        try:
            answer = _once(system, what, arguments, more, seconds)
            if check(answer):
                return answer
            reason = "the answer was cut short"
        except Exception as error:  # the clients and the networks below them have no common family
            if final := _final(url, error):
                raise final from error
            reason = _reason(url, error).split("\n")[0]
        if time.monotonic() + pause > until:
            raise NotFound(
                f"{public(url)}: {reason}; tried for {PATIENCE_S:g} seconds.", hint="Is the network there? What is done is kept."
            )
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _once(system: Any, what: str, arguments: tuple[Any, ...], more: dict[str, Any], seconds: float) -> Any:
    """Those that are asynchronous inside can be left when their time is up; the hub's client has times of its own."""
    if not system.async_impl:
        return getattr(system, what)(*arguments, **more)
    from fsspec.asyn import sync

    return sync(system.loop, getattr(system, f"_{what}"), *arguments, timeout=seconds, **more)


def _final(url: str, error: Exception) -> LdmError | None:
    """What is to be said of an error that another try would not change; None for all others."""
    cause = error.__cause__ if isinstance(error, FileNotFoundError) else None  # of any failure, where it is one over HTTP
    error = cause if isinstance(cause, Exception) and type(cause).__module__.startswith(("aiohttp", "asyncio", "builtins")) else error
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return NotFound(f"{public(url)}: no such file or folder.")
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__ or status in (401, 403):
        hint = "Give the credentials that its own tools take; FSSPEC_S3_ANON=true asks without."
        return LdmError(f"{public(url)}: access is refused.", hint=hint)
    if isinstance(error, ValueError | TypeError | NotImplementedError | ImportError) or (status and 400 <= status < 500 and status != 429):
        return LdmError(f"{public(url)}: {_reason(url, error)}")
    return None


def _reason(url: str, error: Exception) -> str:
    """What a client says, which may repeat the URL, in its own spelling too."""
    said = str(error).strip().replace(url, public(url))
    return re.sub(r"\b[a-z0-9]+://[^\s'\"<>]+", lambda found: SECRET.sub("", found[0]), said) or type(error).__name__


def _system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the name that it has there. Raises NotFound offline, UsageError where the package is missing."""
    if offline():
        hint = "Leave out --offline (HF_HUB_OFFLINE) to get it."
        raise NotFound(f"{public(url)} is not in the cache, and the network is not to be used.", hint=hint)
    scheme = url.partition("://")[0]
    try:
        system = _connected(scheme, os.getpid())
        return system, system._strip_protocol(url)
    except ImportError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error  # fsspec names none itself
        package = (cause.name or NEEDED[scheme]).partition(".")[0]
        raise UsageError(f"{public(url)} needs the package {package}.", hint=f"Get it with: pip install {package}") from error


@cache
def _connected(scheme: str, process: int) -> Any:
    """process: connections do not survive a fork."""
    import fsspec

    options: dict[str, Any] = {}
    if scheme == "s3":
        options = {"config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": ANSWER_S, "retries": {"max_attempts": 1}}}
    elif scheme in ("http", "https"):
        import aiohttp

        options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S)}}
    system = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)
    if scheme == "s3":
        system.retries = 1  # trying again is done here
    return system
