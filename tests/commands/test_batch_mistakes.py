"""What is wrong with a prompts file, a sweep or a picture to draw again is said before torch is imported."""

import pytest

FILES = {
    "good.txt": b"a dog\n",
    "empty.txt": b"",
    "comments.txt": b"# one\n\n# two\n",
    "bad.jsonl": b'{"promt": "a"}\n{"prompt": 3}\n',
    "mixed.jsonl": b'a dog\n{"prompt": "a cat", "steps": 0}\n',
    "nul.txt": b"a dog\nb\0d\n",
    "index.html": b"mine",
    "latin1.txt": "a dog\ncaf\xe9\n".encode("latin-1"),
}

MISTAKES = {
    "missing file": (["-f", "no-such.txt"], 6, "no-such.txt: no such file"),
    "folder": (["-f", "."], 2, "is a folder"),
    "empty file": (["-f", "empty.txt"], 2, "empty.txt holds no usable prompt"),
    "comments alone": (["-f", "comments.txt"], 2, "holds no usable prompt"),
    "no usable line": (["-f", "bad.jsonl"], 2, "line 1: unknown key 'promt'"),
    "strict": (["-f", "mixed.jsonl", "--strict"], 2, "mixed.jsonl, line 2: ddim takes"),
    "strict NUL": (["-f", "nul.txt", "--strict"], 2, "nul.txt, line 2: a NUL byte"),
    "strict Latin-1": (["-f", "latin1.txt", "--strict"], 2, "latin1.txt, line 2: not UTF-8: byte 0xe9 at place 4"),
    "empty standard input": (["-f", "-"], 2, "standard input holds no usable prompt"),
    "sweep of an unknown name": (["a", "--sweep", "seed=1,2"], 2, "--sweep seed=1,2: NAME=VALUE"),
    "sweep twice": (["a", "--sweep", "cfg=1", "--sweep", "cfg=2"], 2, "one option twice"),
    "sweep of a bad value": (["a", "--sweep", "cfg=1,two"], 2, "--sweep cfg=1,two"),
    "sweep of a value out of range": (["a", "--sweep", "steps=5,0"], 2, "got 0"),
    "sweep of an unknown scheduler": (["a", "--sweep", "scheduler=ddim,magic"], 2, "No scheduler is called 'magic'"),
    "progressive": (["a", "--progressive", "film"], 2, "strip, gif or frames"),
    "verify alone": (["a", "--verify"], 2, "--verify goes with --from-image"),
    "a picture and a prompt": (["a", "--from-image", "x.png"], 2, "own prompt"),
    "verify of a variant": (["--from-image", "x.png", "--verify", "--steps", "3"], 2, "steps cannot be given"),
    "a kind of nothing": (["a", "--progressive-kind", "xt"], 2, "says what --progressive shows"),
    "an unknown kind": (["a", "--progressive", "gif", "--progressive-kind", "x1"], 2, "x0 or xt"),
    "an unknown format": (["a", "--format", "gif"], 2, "--format gif: png, webp or jpg"),
    "a format and a name": (["a", "--format", "jpg", "-o", "a.png"], 2, "do not agree"),
    "a format and a template": (["a", "--format", "png", "-o", "{seed}.webp"], 2, "do not agree"),
    "a name that is no picture": (["a", "-o", "a.gif"], 2, "ends in .png, .webp or .jpg"),
    "one name for two pictures": (["a", "b", "-o", "a.png"], 2, "one file for 2 pictures"),
    "an unknown field": (["a", "-o", "out/{colour}.png"], 2, "there is no field {colour}"),
    "code in a field": (["a", "-o", "out/{seed.__class__}.png"], 2, "there is no field"),
    "a brace alone": (["a", "-o", "out/{seed.png"], 2, "-o out/{seed.png"),
    "a field in a folder": (["a", "-o", "{seed}/a.png"], 2, "not of a folder"),
    "overwriting under a template": (["a", "-o", "{seed}.png", "--overwrite"], 2, "--overwrite is for one named file"),
    "a grid of one file": (["a", "-o", "a.png", "--grid"], 2, "--grid shows several"),
    "an index of one file": (["a", "-o", "a.png", "--index"], 2, "--index shows the pictures of a folder"),
    "an index over another page": (["a", "-o", "./", "--index"], 2, "index.html already exists, and --index did not write it"),
    "resume of one file": (["a", "-o", "a.png", "--resume"], 2, "--resume reads the manifest"),
    "preview without a terminal": (["a", "--preview"], 2, "--preview needs a terminal"),
    "a quiet preview": (["a", "--preview", "-q"], 2, "--preview and --quiet"),
    "verify in another format": (["--from-image", "x.png", "--verify", "--format", "jpg"], 2, "format cannot be given"),
    "missing model": (["-f", "good.txt", "-m", "no/such/model"], 6, "no model at"),
}


@pytest.fixture
def files(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_batch_is_told_in_two_lines_before_torch_is_imported(light, files, tmp_path, what):
    argv, code, words = MISTAKES[what]
    before = sorted(tmp_path.iterdir())
    done = light("generate", *argv)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ") and words in first and len(rest) <= 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_picture_needs_no_torch(light):
    done = light("generate", "--from-image", "no-such.png", heavy=("torch", "diffusers", "transformers", "accelerate"))
    assert done.returncode == 6 and done.stderr.startswith("error: --from-image no-such.png: no such file."), done.stderr
