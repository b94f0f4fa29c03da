"""All flags of the command line, one option a line: tests/commands/flags.txt, so that a change of them is seen in review.

python scripts/flags.py > tests/commands/flags.txt
"""

from collections.abc import Iterator

from ldmcli.commands.app import SUMMARIES, load_command
from ldmcli.commands.help import metavar


def flag_lines() -> Iterator[str]:
    """`COMMAND FLAGS VALUE`."""
    for command in map(load_command, SUMMARIES):
        for each in command.options:
            value = "" if each.kind.scalar is bool else f" {metavar(each)}"
            yield f"{command.__name__} {' '.join(each.flags)}{value}" if each.flags else f"{command.__name__} [{each.metavar}]"


if __name__ == "__main__":
    print("\n".join(flag_lines()))
