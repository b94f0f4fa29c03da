"""What a command prints where: results on stdout, talk on stderr, one JSON document with the promised keys."""

import json
import shutil

import pytest

IMAGE_KEYS = {
    "path", "prompt", "negative_prompt", "seed", "steps", "num_unet_calls", "scheduler", "cfg", "width", "height", "truncated_tokens",
    "seconds",
}  # fmt: skip


@pytest.fixture
def generate(ldm, model, tmp_path):
    def run(*argv):
        return ldm("generate", *argv, "-m", str(model), "-s", "5", "-o", f"{tmp_path}/out/", "--device", "cpu")

    return run


def test_json_is_one_document_with_the_promised_keys(generate, tmp_path):
    code, out, err = generate("a dog", "a cat", "-n", "2", "--scheduler", "heun", "--negative", "red", "--json")
    assert code == 0 and err != ""
    report = json.loads(out)
    assert set(report) == {"model", "device", "dtype", "images", "failed", "timing", "memory"}
    assert set(report["timing"]) == {"load_s", "encode_s", "denoise_s", "decode_s", "total_s"}
    assert set(report["memory"]) == {"peak_rss_bytes", "peak_vram_bytes"}
    assert (report["model"], report["device"], report["dtype"], report["failed"]) == ("tiny", "cpu", "fp32", [])
    assert len(report["images"]) == 4 and all(set(image) == IMAGE_KEYS for image in report["images"])
    image = report["images"][3]
    assert image["path"] == str(tmp_path / "out" / "00003_seed6.png")
    assert (image["prompt"], image["negative_prompt"], image["seed"], image["scheduler"]) == ("a cat", "red", 6, "heun")
    assert (image["steps"], image["num_unet_calls"], image["cfg"], image["width"], image["height"]) == (4, 7, 3.0, 64, 64)
    assert sum(report["timing"][name] for name in ("load_s", "encode_s", "denoise_s", "decode_s")) <= report["timing"]["total_s"] + 0.01
    assert report["memory"]["peak_rss_bytes"] > 10**8


def test_quiet_prints_bare_paths_and_no_talk(generate, tmp_path):
    code, out, err = generate("a dog", "-n", "2", "-q")
    assert code == 0 and err == ""
    assert out == f"{tmp_path}/out/00000_seed5.png\n{tmp_path}/out/00001_seed6.png\n"


def test_otherwise_paths_stay_on_stdout_and_the_talk_goes_to_stderr(generate, tmp_path):
    code, out, err = generate("a dog")
    assert code == 0 and out == f"{tmp_path}/out/00000_seed5.png\n"
    assert "device cpu: as asked; dtype fp32: " in err and "1 picture in" in err and "MiB RSS" in err


def test_json_keeps_control_characters_of_a_prompt_escaped(generate):
    prompt = "a \x1b[31mdog\x07 \u202e [/red]"
    _, out, _ = generate(prompt, "--json")
    assert out.isascii() and "\x1b" not in out and json.loads(out)["images"][0]["prompt"] == prompt


@pytest.fixture(scope="module")
def training(coco, model):
    network = ["--data", str(coco), "--size", "32", "--layers", "1", "--batch-size", "8", "--max-steps", "2", "--sample-every", "100"]
    return {
        "train-vae": ["train-vae", *network, "--channels", "8,8,16,16"],
        "train-unet": ["train-unet", *network, "--channels", "32,64", "--vae", str(model), "--text-encoder", str(model)],
    }


def test_training_prints_the_model_folder_or_one_json_document(ldm, training, tmp_path):
    code, out, err = ldm(*training["train-vae"], "-o", str(tmp_path / "a"))
    assert code == 0 and out == f"{tmp_path}/a/model\n" and "22 pictures" not in out and "pictures to train on" in err
    code, out, err = ldm(*training["train-unet"], "-o", str(tmp_path / "b"), "--json", "-q")
    body = json.loads(out)
    losses = {"val_loss", "val_loss_q1", "val_loss_q2", "val_loss_q3", "val_loss_q4", "val_variance_only"}
    assert code == 0 and set(body) == {"run", "model", "step"} | losses and body["step"] == 2
    assert (body["run"], body["model"]) == (str(tmp_path / "b"), str(tmp_path / "b" / "model"))
    code, out, _ = ldm(*training["train-vae"], "-o", str(tmp_path / "c"), "--json")
    assert set(json.loads(out)) == {
        "run",
        "model",
        "step",
        "scaling_factor",
        "val_psnr",
        "val_psnr_mean_picture",
        "val_psnr_block_mean",
        "used_channels",
    }


def test_flags_win_over_the_config_file_and_the_file_over_the_defaults(ldm, training, tmp_path):
    (tmp_path / "run.toml").write_text("lr = 1\nmax-steps = 5\nweight_decay = 0.5\n")
    assert ldm(*training["train-vae"], "-o", str(tmp_path / "a"), "--config", str(tmp_path / "run.toml"), "--lr", "1e-4", "-q")[0] == 0
    written = (tmp_path / "a" / "config.toml").read_text()
    assert (
        "lr = 0.0001\n" in written and "max_steps = 2\n" in written and "weight_decay = 0.5\n" in written and "grad_accum = 1\n" in written
    )


def test_a_written_config_file_starts_the_same_run_again(ldm, training, tmp_path):
    assert ldm(*training["train-vae"], "-o", str(tmp_path / "a"), "-q")[0] == 0
    kept = "".join(
        line
        for line in (tmp_path / "a" / "config.toml").read_text().splitlines(True)
        if not line.startswith(("data_fingerprint", "output"))
    )
    (tmp_path / "again.toml").write_text(kept)
    assert ldm("train-vae", "--config", str(tmp_path / "again.toml"), "-o", str(tmp_path / "b"), "-q")[0] == 0
    weights = "model/vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()


def test_without_an_output_folder_the_next_free_run_is_taken(ldm, training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        code, out, _ = ldm(*training["train-vae"], "-q")
        assert code == 0 and out == f"runs/train-vae-{number}/model\n"


@pytest.mark.parametrize(
    ("part", "named"), [("unet", "unet"), ("tokenizer/vocab.json", "vocab.json"), ("model_index.json", "model_index.json")]
)
def test_an_incomplete_model_is_exit_6_and_names_what_is_missing(ldm, model, tmp_path, part, named):
    broken = shutil.copytree(model, tmp_path / "broken")
    shutil.rmtree(broken / part) if (broken / part).is_dir() else (broken / part).unlink()
    code, out, err = ldm("generate", "a dog", "-m", str(broken), "-o", f"{tmp_path}/out/")
    assert code == 6 and out == "" and "error: " in err and named in err
