"""Where pictures go: checked before the model is loaded, written whole or not at all, never over something else."""

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldmcli.config import GenerateConfig
from ldmcli.errors import LdmError, UsageError

NUMBERED = re.compile(r"(\d{5,})_seed\d+\.png")


@dataclass(frozen=True)
class OutputPlan:
    """One file, or the next free numbers of a folder."""

    folder: Path
    file: Path | None
    first: int
    overwrite: bool


def plan_outputs(config: GenerateConfig, count: int) -> OutputPlan:
    """Raises UsageError for a target that cannot be, LdmError for a folder that cannot be written."""
    target = Path(config.output).expanduser()
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
        if target.is_symlink():
            raise UsageError(f"-o {config.output} is a link to somewhere else.", hint="Name the file itself.")
        if target.exists() and not config.overwrite:
            raise UsageError(f"-o {config.output} already exists.", hint="--overwrite replaces it; a folder takes the next free number.")
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


def write_new(picture: Image.Image, chunks: PngInfo | None, plan: OutputPlan, number: int, seed: int) -> Path:
    """Write one PNG through a temporary file. In a folder the number goes up until it is free."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=chunks)
    temporary = plan.folder / f".ldm-{os.getpid()}-{number}.tmp"
    try:
        temporary.write_bytes(buffer.getvalue())
        if plan.file is not None and plan.overwrite:
            os.replace(temporary, plan.file)
            return plan.file
        at = plan.first + number
        while True:
            path = plan.file or plan.folder / f"{at:05d}_seed{seed}.png"
            try:
                os.link(temporary, path)  # unlike a rename, this fails when the name is taken
                return path
            except FileExistsError as error:
                if plan.file is not None:
                    raise UsageError(f"{path} appeared meanwhile; nothing was overwritten.") from error
                at += 1
    except OSError as error:
        raise LdmError(f"cannot write in {plan.folder}: {error.strerror}.", hint="Is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)
