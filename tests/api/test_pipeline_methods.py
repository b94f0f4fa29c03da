"""The steps of a pipeline by themselves, against diffusers and transformers on the same files."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import ldmcli


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def theirs(model):
    """StableDiffusionPipeline on the same folder."""
    return diffusers.StableDiffusionPipeline.from_pretrained(model, local_files_only=True)


def test_a_picture_through_the_vae_and_back(pipe, theirs, picture):
    latents = pipe.encode_image(picture)
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        mean = theirs.vae.encode(pixels).latent_dist.mean * theirs.vae.config.scaling_factor
        decoded = theirs.vae.decode(mean / theirs.vae.config.scaling_factor).sample
    assert latents.shape == (1, 4, 8, 6) and latents.dtype == torch.float32
    torch.testing.assert_close(latents, mean, rtol=1e-4, atol=1e-5)
    expected = theirs.image_processor.postprocess(decoded, output_type="pil")[0]
    back = pipe.decode(latents)
    assert type(back) is Image.Image and back.size == picture.size
    assert abs(np.asarray(back).astype(int) - np.asarray(expected)).max() <= 1
    assert pipe.decode(latents[0]).tobytes() == back.tobytes()


def test_transparent_pictures_lie_on_white(pipe):
    clear, white = Image.new("RGBA", (64, 64), (0, 0, 0, 0)), Image.new("RGB", (64, 64), "white")
    assert torch.equal(pipe.encode_image(clear), pipe.encode_image(white))


@pytest.mark.parametrize("schedule", [None, "cosine", "scaled-linear", "linear", ldmcli.schedule("linear")])
def test_noise_is_added_as_in_training(pipe, theirs, picture, schedule):
    latents = pipe.encode_image(picture)
    noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(7))[None]
    names = {None: "squaredcos_cap_v2", "cosine": "squaredcos_cap_v2", "scaled-linear": "scaled_linear"}
    betas = {"beta_start": 0.00085, "beta_end": 0.012} if schedule == "scaled-linear" else {}
    scheduler = diffusers.DDPMScheduler(beta_schedule=names.get(schedule, "linear"), **betas)
    for t in (0, 400.0, 999):
        expected = scheduler.add_noise(latents, noise, torch.tensor([int(t)]))
        torch.testing.assert_close(pipe.add_noise(latents, t, seed=7, schedule=schedule), expected, rtol=1e-4, atol=1e-5)


def test_prompts_become_the_vectors_of_the_text_encoder(pipe, theirs, model):
    tokenizer = transformers.CLIPTokenizer.from_pretrained(model / "tokenizer")
    ids = tokenizer(["a dog", ""], padding="max_length", max_length=24, return_tensors="pt").input_ids
    assert [number for number, _ in pipe.tokens("a dog")] == ids[0].tolist()
    assert [piece for _, piece in pipe.tokens("a dog")][:4] == ["<|startoftext|>", "a", "dog", "<|endoftext|>"]
    vectors, mask = pipe.embed(["a dog", ""])
    with torch.no_grad():
        torch.testing.assert_close(vectors, theirs.text_encoder(ids)[0], rtol=1e-4, atol=1e-5)
    assert mask.shape == (2, 24) and mask.dtype == torch.bool and mask.all()  # this model attends to pads
    assert torch.equal(pipe.embed("a dog")[0], vectors[:1])


def test_a_model_that_hides_pads_says_so_in_the_mask(model, tmp_path):
    own = Path(shutil.copytree(model, tmp_path / "own"))
    index = json.loads((own / "model_index.json").read_text())
    (own / "model_index.json").write_text(json.dumps({**index, "_ldm": {"text_mask": True}}))
    pipe = ldmcli.load(own, device="cpu")
    vectors, mask = pipe.embed("a dog")
    assert mask.tolist() == [[True] * 4 + [False] * 20]
    x = pipe.noise(1)
    [step] = pipe.sample("a dog", seed=1, steps=1, cfg=1, scheduler="ddim")
    torch.testing.assert_close(pipe.predict(x, step.timestep, vectors, mask), step.cond)
    assert not torch.allclose(pipe.predict(x, step.timestep, vectors), step.cond)


def test_the_network_answers_as_theirs(pipe, theirs):
    x, (vectors, mask) = torch.cat([pipe.noise(1), pipe.noise(2)]), pipe.embed(["a dog", ""])
    with torch.no_grad():
        expected = theirs.unet(x, torch.tensor([500, 500]), encoder_hidden_states=vectors).sample
    torch.testing.assert_close(pipe.predict(x, 500, vectors, mask), expected, rtol=1e-4, atol=1e-5)
    one_for_all = pipe.predict(x, 500, vectors[:1])
    torch.testing.assert_close(one_for_all[:1], expected[:1], rtol=1e-4, atol=1e-5)


def test_the_loop_by_hand_draws_the_picture(pipe):
    """DDIM in five lines of the public face (Song et al. 2021, eq. 12)."""
    alpha_bar, times, cfg = pipe.schedule.alphas_cumprod, [801, 601, 401, 201, 1], 3.0
    x, vectors = pipe.noise(4), pipe.embed(["", "a dog"])[0]
    for t, following in zip(times, [*times[1:], -199], strict=True):
        signal, noise = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
        uncond, cond = pipe.predict(torch.cat([x, x]), t, vectors).chunk(2)
        v = uncond + cfg * (cond - uncond)
        clean, eps = signal * x - noise * v, noise * x + signal * v
        after = alpha_bar[max(following, 0)]
        x = after.sqrt() * clean + (1 - after).sqrt() * eps
    drawn = pipe("a dog", seed=4, steps=5, cfg=cfg, scheduler="ddim")
    assert abs(np.asarray(pipe.decode(x)).astype(int) - np.asarray(drawn)).max() <= 1


def test_a_score_is_that_of_the_command(pipe, ldm, tmp_path):
    pipe("a dog", seed=1).save(tmp_path / "dog.png")
    code, out, err = ldm("clipscore", tmp_path / "dog.png", "--clip-model", "bundled", "--json")
    assert code == 0, err
    with Image.open(tmp_path / "dog.png") as picture:
        score = pipe.score(picture, "a dog", clip_model="bundled")
    assert score == pytest.approx(json.loads(out)["clip_score"], abs=1e-4)
    assert pipe.score(pipe("a dog", seed=1), "a red car", clip_model="bundled") != pytest.approx(score, abs=0.1)


def test_a_pipeline_says_in_a_few_lines_what_it_is(pipe, theirs):
    lines = repr(pipe).splitlines()
    assert lines[0] == "Pipeline('tiny') on cpu in fp32" and len(lines) == 7
    counted = {"U-Net": theirs.unet, "text encoder": theirs.text_encoder, "VAE decoder": theirs.vae.decoder}
    for part in pipe.parts:
        assert any(line.split(f"  {part.name}")[-1].split()[:1] == [f"{part.parameters / 1e6:.2f}"] for line in lines)
        if part.name in counted:
            assert part.parameters == sum(each.numel() for each in counted[part.name].parameters())
            assert part.bytes == 4 * part.parameters and part.dtype == "float32"
    assert "64 x 64 pixels from latents 4 x 8 x 8; cosine schedule, predicts v" in lines[5]
    assert "dpm++2m, 4 steps, cfg 3" in lines[6]
