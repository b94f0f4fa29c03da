"""What pip-audit's JSON says, with what it does not: how many pins it could look up at all.

    python scripts/audit_report.py FILE

Exit codes: 0 every pin was looked up and none has a known hole, 1 some have, 3 some pins or all could not be looked up.
"""

import json
import sys
from pathlib import Path
from typing import Any

CHECKED, HOLES, UNKNOWN = 0, 1, 3


def report(text: str) -> tuple[int, list[str]]:
    """(exit code, lines to print). text: of the file, empty where pip-audit came to no answer."""
    try:
        pins: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return UNKNOWN, ["No pin was checked: pip-audit came to no answer. Nothing is known about holes."]
    looked_up = [pin for pin in pins if "skip_reason" not in pin]
    skipped = [pin["name"] for pin in pins if "skip_reason" in pin]
    holes = [(pin, hole) for pin in looked_up for hole in pin["vulns"]]
    lines = [f"{pin['name']} {pin['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none'}" for pin, hole in holes]
    if looked_up:
        lines.append(f"{len(looked_up)} of {len(pins)} pins were checked; known holes in them: {len(holes)}.")
    if skipped:
        lines.append(f"{len(skipped)} of {len(pins)} pins could NOT be checked, nothing is known about them: {', '.join(skipped)}.")
    if not pins:
        lines.append("No pin was checked: pip-audit saw none.")
    return HOLES if holes else CHECKED if looked_up and not skipped else UNKNOWN, lines


if __name__ == "__main__":
    file = Path(sys.argv[1])
    code, said = report(file.read_text(encoding="utf-8") if file.is_file() else "")
    print("\n".join(said))
    sys.exit(code)
