"""The one door for a stranger's JSON: size, depth, kind of file; and that nothing else parses any."""

import ast
import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest

import ldmcli
from ldmcli.errors import LdmError, NotFound
from ldmcli.readers.json_text import CONFIG_BYTES, DEPTH, parse_json, read_json, read_limited

MAY_PARSE = {
    "readers/json_text.py",
    "engine/generate/prompts_file.py",  # what the user types, told by line and column
    "api/picture.py", "outputs/provenance.py",  # a record of this very process
    "engine/train/run_log.py", "engine/train/checkpointing.py", "engine/train/dry_run.py", "reports/loss_plot.py",  # a run's own log
    "models/tokenizer.py",  # what the tokenizers library has just said
    "prompts/parameters.py",  # a text in quotes
    "runtime/meeting.py",  # what another process of this run has said
}  # fmt: skip


def nested(levels):
    return "[" * levels + "]" * levels


def refused(call, *arguments, **more):
    with pytest.raises(LdmError) as caught:
        call(*arguments, **more)
    return caught.value.message


@pytest.mark.parametrize("levels", [DEPTH + 1, 5_000, 100_000])
@pytest.mark.parametrize("shape", ["[{}]", '{{"a": {}}}'])
def test_what_is_nested_too_deeply_is_refused_by_name(levels, shape):
    assert parse_json(shape.format(nested(DEPTH - 1)), "x.json") is not None
    assert refused(parse_json, shape.format(nested(levels)), "x.json").startswith("x.json is not readable JSON: it is nested")


def test_a_large_file_is_refused_by_its_size_and_not_read(tmp_path):
    path = tmp_path / "config.json"
    path.touch()
    os.truncate(path, 5 * 2**30)
    tracemalloc.start()
    began = time.perf_counter()
    assert f"has {5 * 2**30} bytes; at most {CONFIG_BYTES} are read" in refused(read_json, path)
    assert time.perf_counter() - began < 0.5 and tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert "no regular file" in refused(read_limited, tmp_path / "fifo")
    assert "no regular file" in refused(read_limited, Path("/dev/zero"))
    assert "is a folder" in refused(read_json, tmp_path)
    with pytest.raises(NotFound):
        read_json(tmp_path / "nothing.json")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"9" * 5000, b'"\xed\xa0\x80"', b"[1,]", b"\0"])
def test_what_is_no_json_is_refused_by_name(tmp_path, raw):
    path = tmp_path / "config.json"
    path.write_bytes(raw)
    assert refused(read_json, path).startswith(f"{path} is not readable JSON: ")


def test_nothing_else_parses_json():
    root = Path(ldmcli.__file__).parent
    callers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "json.load" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr in ("loads", "load") and ast.unparse(node.value) == "json"
    }
    assert callers == MAY_PARSE


def test_a_deep_value_costs_no_stack(tmp_path):
    body = json.dumps({"a": [[[{"b": [1, 2, 3]}]]] * 1000})
    assert parse_json(body, "x.json")["a"]
