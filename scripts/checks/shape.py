"""Fails on a module of more than 220 lines, a function with more than seven parameters, and a public function without a docstring.

What stands in scripts/checks/allowed.txt is let through and may only become less: an entry that is mended must be taken out.

    python scripts/checks/shape.py           # what is wrong
    python scripts/checks/shape.py --list    # everything found, as allowed.txt has it
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALLOWED = Path(__file__).parent / "allowed.txt"
MOST_LINES, MOST_PARAMETERS = 220, 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def found(file: Path) -> Iterator[str]:
    """`path: what` of one module; no line numbers, which change too easily."""
    name, text = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
    if text.count("\n") > MOST_LINES:
        yield f"{name}: more than {MOST_LINES} lines"
    for qualified, function in functions(ast.parse(text), ""):
        spec = function.args
        parameters = [each.arg for each in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs) if each.arg not in ("self", "cls")]
        if len(parameters) > MOST_PARAMETERS:
            yield f"{name}: {qualified} has {len(parameters)} parameters"
        if not any(part.startswith("_") for part in qualified.split(".")) and ast.get_docstring(function) is None:
            yield f"{name}: {qualified} has no docstring"


def functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    """Functions and methods with their names; those inside of functions are nobody's business."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")


def main() -> int:
    """0 when nothing is new and nothing on the list is mended."""
    now = {line for file in sorted((ROOT / "ldmcli").rglob("*.py")) for line in found(file)}
    if "--list" in sys.argv:
        print("\n".join(sorted(now)))
        return 0
    allowed = {line for line in ALLOWED.read_text(encoding="utf-8").splitlines() if line}
    said = [f"new: {line}" for line in sorted(now - allowed)]
    said += [f"mended, take it out of {ALLOWED.relative_to(ROOT)}: {line}" for line in sorted(allowed - now)]
    print("\n".join(said), file=sys.stderr, end="\n" * bool(said))
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
