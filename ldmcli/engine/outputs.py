"""Where pictures go: checked before the model is loaded, written whole or not at all, never over something else."""

import dataclasses
import errno
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldmcli.config import GenerateConfig
from ldmcli.errors import LdmError, UsageError
from ldmcli.reports.progressive import progress_target

NUMBERED = re.compile(r"(\d{5,})_seed\d+\.(?:png|progress.*)")


@dataclass(frozen=True)
class OutputPlan:
    """One file, or the next free numbers of a folder."""

    folder: Path
    file: Path | None
    first: int
    overwrite: bool

    def path(self, number: int, seed: int) -> Path:
        """Where picture `number` of the command belongs."""
        return self.file or self.folder / f"{self.first + number:05d}_seed{seed}.png"

    def numbered_from(self, first: int) -> "OutputPlan":
        """The same folder with the numbers that an earlier run of the command had."""
        return dataclasses.replace(self, first=first)


def plan_outputs(config: GenerateConfig, count: int) -> OutputPlan:
    """Raises UsageError for a target that cannot be, LdmError for a folder that cannot be written."""
    target = Path(os.path.expanduser(config.output))
    is_folder = config.output.endswith(("/", os.sep)) or target.is_dir()
    if is_folder:
        if target.exists() and not target.is_dir():
            raise UsageError(f"-o {config.output}: a file of this name is in the way.")
        folder, file = target, None
    else:
        if target.suffix.lower() != ".png":
            raise UsageError(f"-o {config.output}: the name of a .png file is needed, or a folder with / at its end.")
        if count > 1:
            raise UsageError(f"-o {config.output} names one file for {count} pictures.", hint="Name a folder, with / at its end.")
        if config.resume:
            raise UsageError(f"--resume reads the manifest of a folder, and -o {config.output} is a file.", hint="Name a folder.")
        if target.is_symlink():
            raise UsageError(f"-o {config.output} is a link to somewhere else.", hint="Name the file itself.")
        if target.exists() and not config.overwrite:
            raise UsageError(f"-o {config.output} already exists.", hint="--overwrite replaces it; a folder takes the next free number.")
        beside = progress_target(config.progressive, target) if config.progressive else None
        if beside is not None and (beside.exists() or beside.is_symlink()) and not config.overwrite:
            raise UsageError(f"{beside} already exists; --progressive writes there.", hint="--overwrite replaces it.")
        folder, file = target.parent, target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"-o {config.output}: a file is in the way of the folder {folder}.") from error
    except OSError as error:
        raise LdmError(f"cannot make the folder {folder}: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise LdmError(f"cannot write in {folder}.")
    taken = [int(match[1]) for name in os.listdir(folder) if (match := NUMBERED.fullmatch(name))]
    return OutputPlan(folder, file, max(taken, default=-1) + 1, config.overwrite)


def write_new(
    picture: Image.Image,
    chunks: PngInfo | None,
    plan: OutputPlan,
    number: int,
    seed: int,
    *,
    resumed: bool = False,
    replace: str | None = None,
) -> Path:
    """Write one PNG through a temporary file. In a folder the number goes up until it is free.

    resumed: the same bytes under this name are this picture, from a run that ended before it could note so; replace: the name of a
    file that this command made and that has changed since.
    """
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=chunks)
    temporary = plan.folder / f".ldm-{os.getpid()}-{number}.tmp"
    try:
        temporary.write_bytes(buffer.getvalue())
        path = plan.path(number, seed) if replace is None else plan.folder / replace
        if replace is not None or (plan.file is not None and plan.overwrite):
            os.replace(temporary, path)
            return path
        while not _claim(temporary, path):
            if plan.file is not None:
                raise UsageError(f"{path} appeared meanwhile; nothing was overwritten.")
            if resumed and path.is_file() and path.read_bytes() == buffer.getvalue():
                return path
            number += 1
            path = plan.path(number, seed)
        return path
    except OSError as error:
        raise LdmError(f"cannot write in {plan.folder}: {error.strerror}.", hint="Is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def _claim(temporary: Path, path: Path) -> bool:
    """Give the finished file its name unless that is taken: a link fails where a rename would replace."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV):
            raise
        try:  # a file system without links
            with path.open("xb") as file:
                try:
                    file.write(temporary.read_bytes())
                except OSError:
                    path.unlink()
                    raise
        except FileExistsError:
            return False
    return True
