"""Options from a TOML file."""

import tomllib
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.readers.json_text import read_limited


def read_config_file(path: Path) -> dict[str, Any]:
    """Keys are option names, with _ or -. Raises NotFound or UsageError."""
    try:
        return {key.replace("-", "_"): value for key, value in tomllib.loads(read_limited(path).decode("utf-8")).items()}
    except FileNotFoundError as error:
        raise NotFound(f"--config {path}: no such file.") from error
    except LdmError as error:
        raise UsageError(f"--config {error.message}", hint=error.hint) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--config {path}: {error}") from error
