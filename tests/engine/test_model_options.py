"""bench, compare-schedulers and clipscore open what generate opens: a checkpoint file, another VAE, a LoRA; captions in any layout."""

import json
import tarfile

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def options(stable_diffusion, tmp_path_factory):
    """A checkpoint file with all that it needs, and a LoRA."""
    folder = stable_diffusion(1)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q"
    weight = load_file(folder / "diffusers" / "unet" / "diffusion_pytorch_model.safetensors")[f"{name}.weight"]
    lora = {f"unet.{name}.lora_A.weight": torch.ones(2, weight.shape[1]), f"unet.{name}.lora_B.weight": torch.ones(len(weight), 2)}
    place = tmp_path_factory.mktemp("lora")
    save_file(lora, place / "a.safetensors")
    parts = ("--tokenizer", folder / "diffusers" / "tokenizer", "--vae", folder / "diffusers", "--lora", place / "a.safetensors")
    return ("-m", folder / "single.safetensors", *parts)


def test_bench_and_compare_draw_with_them_and_say_so(ldm, options, tmp_path, short_bursts):
    drawing = (*options, "--device", "cpu", "--size", 64, "--cfg", 1, "-s", 1, "--json")
    code, out, err = ldm("bench", *drawing, "--runs", 1, "--warmup", 1, "--steps", 1, "--scheduler", "ddim")
    assert code == 0, err
    body = json.loads(out)
    assert body["rows"][0]["error"] is None and body["env"]["loras"][0]["name"] == "a" and "vae_sha256" in body["env"]
    shared = ("--schedulers", "ddim", "--steps", 1, "--reference-steps", 2, "--clip-model", "none", "-o", tmp_path / "out")
    code, out, err = ldm("compare-schedulers", "a dog", *drawing, *shared)
    assert code == 0, err
    env = json.loads(out)["env"]
    assert env["loras"] == body["env"]["loras"]
    with Image.open(next((tmp_path / "out").rglob("*_seed1.png"))) as picture:
        record = json.loads(picture.text["ldm"])
    assert record["loras"] == env["loras"] and record["tokenizer_sha256"] == env["tokenizer_sha256"]  # --from-image looks for both


def test_a_reference_of_other_weights_is_not_taken_from_the_folder(ldm, options, tmp_path):
    def said(*argv):
        shared = ("--size", 64, "--cfg", 1, "-s", 1, "--schedulers", "ddim", "--steps", 1, "--reference-steps", 2, "--clip-model", "none")
        code, _, err = ldm("compare-schedulers", "a dog", *argv, "--device", "cpu", *shared, "-o", tmp_path / "out", "--overwrite")
        assert code == 0, err
        return err

    plain = options[:-2]
    assert "walked in" in said(*options) and "read from disk" in said(*options) and "walked in" in said(*plain)


@pytest.mark.parametrize("layout", ["metadata.jsonl", "captions beside the pictures", "karpathy", "tar shards"])
def test_clipscore_reads_the_captions_of_every_layout(ldm, clip, tmp_path, layout):
    captions = {f"{number}.png": caption for number, caption in enumerate(["a dog", "a cat", "red circle"])}
    for name in captions:
        Image.new("RGB", (16, 16), "red").save(tmp_path / name)
        if layout == "captions beside the pictures":
            (tmp_path / name).with_suffix(".txt").write_text(captions[name])
    if layout == "metadata.jsonl":
        rows = (json.dumps({"file_name": name, "text": text}) for name, text in captions.items())
        (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    if layout == "karpathy":
        rows = [{"filename": name, "split": "val", "sentences": [{"raw": text}]} for name, text in captions.items()]
        (tmp_path / "dataset_flickr8k.json").write_text(json.dumps({"images": rows, "dataset": "flickr8k"}))
    if layout == "tar shards":
        with tarfile.open(tmp_path / "000.tar", "w") as shard:
            for name in captions:
                (tmp_path / name).with_suffix(".txt").write_text(captions[name])
                for path in (tmp_path / name, (tmp_path / name).with_suffix(".txt")):
                    shard.add(path, path.name)
                    path.unlink()
    code, out, err = ldm("clipscore", "--data", tmp_path, "--clip-model", clip, "--device", "cpu", "--json", "--limit", 2)
    assert code == 0, err
    if layout == "tar shards":
        assert [item["image"] for item in json.loads(out)["items"]] == [f"{tmp_path}/000.tar/{number}" for number in (0, 1)]
        assert ldm("clipscore", "--data", tmp_path, tmp_path)[0] in (2, 6)
    assert [item["caption"] for item in json.loads(out)["items"]] == ["a dog", "a cat"]


def test_a_peer_that_would_open_another_model_is_refused(ldm):
    for option in (("--vae", "x"), ("--lora", "x"), ("--prediction", "v")):
        code, _, err = ldm("bench", "--compare", "diffusers", *option)
        assert code == 2 and "of one side only" in err
