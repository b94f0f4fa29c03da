"""What `ldm help` was asked."""

from dataclasses import dataclass

from ldmcli.config.option import option
from ldmcli.config.options import Options


@dataclass(frozen=True, kw_only=True)
class HelpOptions(Options, group="General"):
    """`ldm help`."""

    topic: tuple[str, ...] = option(
        (), argument=True, metavar="TOPIC...", repeat=True, suggest="topics",
        help="A page, a command, an option, or a question.", default_is="the list of pages",
    )  # fmt: skip
