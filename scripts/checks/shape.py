"""Fails on a module over 220 lines, a function over 45 or with more than seven parameters, and a public function without a docstring.

python scripts/checks/shape.py
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 220, 45, 7

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
        if (lines := lines_of_code(function, text.splitlines())) > MOST_FUNCTION_LINES:
            yield f"{name}: {qualified} has {lines} lines"
        if not any(part.startswith("_") for part in qualified.split(".")) and ast.get_docstring(function) is None:
            yield f"{name}: {qualified} has no docstring"


def functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    """Functions and methods with their names; those inside of functions are nobody's business."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")


def lines_of_code(function: Function, lines: list[str]) -> int:
    """Without docstring, blank lines and lines of comment."""
    begin = function.body[0].lineno if ast.get_docstring(function) is None else function.body[0].end_lineno + 1
    signature, body = range(function.lineno, function.body[0].lineno), range(begin, function.end_lineno + 1)
    texts = (lines[number - 1].strip() for number in (*signature, *body))
    return sum(bool(text) and not text.startswith("#") for text in texts)


def main() -> int:
    """0 when nothing is found."""
    lines = [line for file in sorted((ROOT / "ldmcli").rglob("*.py")) for line in found(file)]
    print("\n".join(lines), file=sys.stderr, end="\n" * bool(lines))
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
