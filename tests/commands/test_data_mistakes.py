"""What is wrong with the files of a command, and shows in text, JSON and headers, is said before torch is imported."""

import fcntl
import json
import os

import pytest

from ldmcli.data.text_file import DATA_BYTES

COCO = {"images": [{"id": 1, "file_name": "../../x.png"}], "annotations": [{"id": 1, "image_id": 1, "caption": "a dog"}]}
TRAIN = ["--data", "data", "-o", "run"]


def words(vocab):
    """tokenizer.json."""
    return {"model": {"vocab": vocab, "merges": []}}


MISTAKES = {
    "train-vae: captions that are no JSON": (["train-vae", *TRAIN], "data/annotations/captions_train2017.json", b"{", 1, "JSON"),
    "train-unet: a picture outside": (["train-unet", *TRAIN], "data/annotations/captions_train2017.json", COCO, 1, "refused"),
    "train-vae: a shard that is none": (["train-vae", "--data", "0.tar", "-o", "run"], "0.tar", b"x" * 2000, 1, "tar"),
    "clipscore: captions that are no JSON": (["clipscore", "p.png", "--captions", "c.jsonl"], "c.jsonl", b"[" * 5000, 1, "nested"),
    "clipscore: captions far too large": (["clipscore", "p.png", "--captions", "c.txt"], "c.txt", DATA_BYTES + 1, 1, "bytes; at most"),
    "clipscore: a scorer with NaN": (["clipscore", "p.png", "--clip-model", "a"], "a/config.json", b'{"projection_dim": NaN}', 1, "= nan"),
    "generate: a vocabulary far too large": (
        ["generate", "a", "--tokenizer", "bpe_simple_vocab_16e6.txt.gz"], "bpe_simple_vocab_16e6.txt.gz", 2**40, 1,
        "bytes; at most",
    ),
    "generate: a start that is no picture": (["generate", "a", "--init-image", "s.png"], "s.png", b"text", 1, "not a readable picture"),
    "generate: words without numbers": (["generate", "a", "--tokenizer", "t"], "t/tokenizer.json", words({"a": "b"}), 1, "vocab.a = 'b'"),
    "generate: words without an end": (["generate", "a", "--tokenizer", "t"], "t/tokenizer.json", words({"a": 0}), 1, "vocabulary lacks"),
}  # fmt: skip
"""Arguments, a file and its bytes, JSON or size, the exit code and what is said."""


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_file_is_told_before_torch_is_imported(light, tmp_path, what):
    argv, name, body, code, words = MISTAKES[what]
    (tmp_path / "p.png").write_bytes(b"x")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(body, int):
        path.touch()
        os.truncate(path, body)
    else:
        path.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    done = light(*argv, heavy=("torch", "diffusers", "transformers", "accelerate"))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ") and words in first and len(rest) <= 1 and not (tmp_path / "run").exists()


def test_a_run_that_cannot_begin_is_told_before_torch_is_imported(light, coco, tmp_path):
    run, heavy = tmp_path / "run", ("torch", "diffusers", "transformers", "accelerate")
    done = light("train-vae", "--data", str(coco), "-o", str(run), "--batch-size", "100", heavy=heavy)
    assert done.returncode == 2 and "pictures do not fill one batch of 100" in done.stderr and not run.exists(), done.stderr
    run.mkdir()
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = light("train-unet", "--data", str(coco), "-o", str(run), heavy=heavy)
    assert done.returncode == 1 and "another training run" in done.stderr, done.stderr
    (run / "checkpoints" / "step-000001").mkdir(parents=True)
    done = light("train-vae", "--data", str(coco), "-o", str(run), heavy=heavy)
    assert done.returncode == 2 and "already holds a run" in done.stderr, done.stderr
