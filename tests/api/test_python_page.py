"""Every block of the guide's page on Python runs, in order, and prints what stands below it."""

import contextlib
import io
import re
from pathlib import Path

import ldmcli

PAGE = Path(ldmcli.__file__).parent / "guide" / "python.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_does_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks, names = BLOCK.findall(PAGE.read_text(encoding="utf-8")), {}
    printed, shown = "", 0
    for number, (language, body) in enumerate(blocks):
        if language == "text":
            assert printed == body, f"block {number}"
            shown += 1
            continue
        assert language == "python"
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(body, f"block {number}", "exec"), names)
        printed = out.getvalue()
    assert shown > 5 and (tmp_path / "dog.png").is_file()


def test_the_page_names_no_method_that_is_not_there():
    named = set(re.findall(r"\bpipe\.(\w+)", PAGE.read_text(encoding="utf-8")))
    assert named and all(hasattr(ldmcli.Pipeline, name) for name in named)
