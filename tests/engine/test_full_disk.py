"""A disk that takes no more, by a limit on the size of files: one line, the right exit code, and what was whole stays whole."""

import json
import os
import resource
import sys

import pytest
from forks import fork
from outputs import rows_of
from PIL import Image

import ldmcli.engine.bench.run
import ldmcli.engine.compare.run
import ldmcli.engine.generate.run
import ldmcli.engine.score.run  # noqa: F401  # like the three before it, for the forks
from ldmcli.cli import main


@pytest.fixture
def run(tmp_path):
    """(exit code, stderr) of a command line in a process that can write files of so many bytes."""

    def run(limit, *argv):
        def work():
            sys.dont_write_bytecode = True  # else a module that is first imported here would be cached cut short, for all who come after
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            return main([str(word) for word in argv])

        talk = tmp_path.parent / f"{tmp_path.name}-talk"
        talk.write_bytes(b"")
        read, write = os.pipe()  # the limit holds for the talk too, were it a file
        child = fork(lambda: (os.dup2(write, 1), os.dup2(write, 2), os.close(read), work())[-1], talk)
        os.close(write)
        with open(read, encoding="utf-8") as said:
            text = said.read()
        return child.wait(), text

    return run


BEFORE = {
    "generate": lambda model, out: ("generate", "a dog", "-m", model, "-o", out / "x" / ""),
    "generate one file": lambda model, out: ("generate", "a dog", "-m", model, "-o", out / "x.png"),
    "generate --trace": lambda model, out: ("generate", "a dog", "-m", model, "-o", out / "x.png", "--trace", out / "t"),
    "compare-schedulers": lambda model, out: ("compare-schedulers", "a dog", "-m", model, "-o", out / "c"),
    "bench --export-csv": lambda model, out: ("bench", "-m", model, "--export-csv", out / "b.csv"),
    "bench --chart": lambda model, out: ("bench", "-m", model, "--chart", out / "b.png"),
    "clipscore -o": lambda model, out: ("clipscore", "--data", out, "--clip-model", "bundled", "-o", out / "s.json"),
    "train-vae": lambda model, out: ("train-vae", "--data", out, "-o", out / "run"),
}


@pytest.mark.parametrize("command", BEFORE)
def test_it_is_told_before_anything_is_loaded(command, run, model, coco, tmp_path):
    data = coco if command.startswith(("train", "clipscore")) else tmp_path
    argv = [coco if word == tmp_path and data == coco else word for word in BEFORE[command](model, tmp_path)]
    code, said = run(100, *argv)
    assert code == 1 and said.splitlines()[-2].startswith("error: cannot write in ") and "File too large" in said, said
    assert "seed" not in said and "Traceback" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


def test_generate_keeps_the_pictures_that_were_finished(run, model, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('a dog\n{"prompt": "a cat", "width": 256, "height": 256}\n')
    argv = ("-f", tmp_path / "prompts.jsonl", "-m", model, "--device", "cpu", "--steps", 2, "-s", 1, "-o", tmp_path / "out" / "", "-q")
    code, said = run(40_000, "generate", *argv)
    assert code == 1 and f"error: cannot write in {tmp_path / 'out'}: File too large." in said and "Traceback" not in said, said
    assert sorted(os.listdir(tmp_path / "out")) == ["00000_seed1.png", "manifest.jsonl"]
    with Image.open(tmp_path / "out" / "00000_seed1.png") as picture:
        picture.load()
    assert [row["path"] for row in rows_of(tmp_path / "out") if row.get("status") == "ok"] == ["00000_seed1.png"]
    assert main(["generate", *map(str, argv), "--resume"]) == 0 and len(list((tmp_path / "out").glob("*.png"))) == 2


def test_a_comparison_keeps_the_results_that_were_there(run, model, tmp_path):
    own = ("--schedulers", "ddim", "--steps", 2, "--reference-steps", 3, "--clip-model", "none", "--device", "cpu", "-s", 1)
    argv = ("compare-schedulers", "a dog", "-m", model, *own, "-o", tmp_path / "c", "--overwrite")
    assert main([str(word) for word in argv]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "c").iterdir() if path.is_file()}
    code, said = run(12_000, *argv)
    assert code == 1 and "error: cannot write " in said and "File too large" in said and "Traceback" not in said, said
    for path, body in before.items():
        now = path.read_bytes()
        whole = path.suffix == ".csv" and now.endswith(b"\n") and len({row.count(b",") for row in now.splitlines()}) == 1
        assert now == body or (path.suffix == ".json" and json.loads(now)) or whole
    assert [path.name for path in (tmp_path / "c").rglob(".*")] == [".lock"]
