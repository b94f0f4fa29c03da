"""What pictures of other tools say they were drawn from; sd-parsers, which reads the same tools, agrees where it reads them."""

import json

import pytest
from PIL import Image
from sd_parsers import ParserManager

from ldmcli.data.picture_prompts import Origin, is_sheet, read_origin
from ldmcli.outputs.picture_files import encode_picture, png_chunks, sheet_comment, sheet_texts

LAST = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"
PROMPT = "a dog on a mat, café"


def graph(positive=PROMPT, **changes):
    """ComfyUI's own default graph, as its API form."""
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 5, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["4", 0],
                "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": positive, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly, watermark", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
        **changes,
    }  # fmt: skip


TYPES = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "positive": "CONDITIONING", "negative": "CONDITIONING", "text": "STRING"}


def workflow(nodes):
    """What sd-parsers needs beside the graph: its links with their types."""
    links = [
        [number, int(value[0]), value[1], int(key), 0, TYPES.get(name, "LATENT")]
        for key, node in nodes.items()
        for number, (name, value) in enumerate(node["inputs"].items())
        if isinstance(value, list)
    ]
    return {"nodes": [], "links": links}


def png(path, **texts):
    Image.new("RGB", (8, 8)).save(path.with_suffix(".png"), pnginfo=png_chunks(texts))
    return path.with_suffix(".png")


def exif(path, ending, fields, *, inner=True):
    made = Image.Exif()
    (made.get_ifd(0x8769) if inner else made).update(fields)
    Image.new("RGB", (8, 8)).save(path.with_suffix(ending), exif=made)
    return path.with_suffix(ending)


def comment(path, ending, text, encoding="utf-16-be"):
    return exif(path, ending, {0x9286: b"UNICODE\0" + text.encode(encoding)})


A1111 = f"{PROMPT}\nNegative prompt: ugly\n{LAST}"
CIVITAI = f'{A1111}, Civitai resources: [{{"type":"checkpoint","modelVersionId":128713}}], Civitai metadata: {{}}'
COMFY = graph()
COMBINED = graph(
    **{
        "3": {"class_type": "KSampler", "inputs": {**COMFY["3"]["inputs"], "positive": ["10", 0]}},
        "10": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["6", 0], "conditioning_2": ["11", 0]}},
        "11": {"class_type": "CLIPTextEncode", "inputs": {"text": "a tree", "clip": ["4", 1]}},
    }
)
LINKED = graph(
    **{
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["12", 0], "clip": ["4", 1]}},
        "12": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": PROMPT}},
    }
)
GUIDED = {
    "1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    "2": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["9", 0]}},
    "3": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["8", 0], "guider": ["4", 0], "sampler": ["8", 1]}},
    "4": {"class_type": "BasicGuider", "inputs": {"model": ["9", 0], "conditioning": ["5", 0]}},
    "5": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncodeFlux", "inputs": {"clip_l": PROMPT, "t5xxl": PROMPT, "clip": ["9", 1]}},
}
REFINED = graph(
    **{
        "20": {"class_type": "KSampler", "inputs": {**COMFY["3"]["inputs"], "positive": ["21", 0], "latent_image": ["3", 0]}},
        "21": {"class_type": "CLIPTextEncode", "inputs": {"text": "a finer dog", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["20", 0], "vae": ["4", 2]}},
    }
)
ON_CIVITAI = {**COMFY, "extra": {"airs": []}, "extraMetadata": json.dumps({"prompt": PROMPT, "negativePrompt": "ugly", "steps": 20})}
INVOKE = {"positive_prompt": PROMPT, "negative_prompt": "ugly", "scheduler": "euler", "seed": 5, "steps": 20, "cfg_scale": 7.0}
INVOKE_2 = {"image": {"prompt": [{"prompt": f"{PROMPT} [ugly]", "weight": 1.0}], "sampler": "k_euler", "seed": 5, "steps": 20}}
FOOOCUS = {
    "prompt": PROMPT, "negative_prompt": "ugly", "base_model": "x", "base_model_hash": "y", "sampler": "euler", "scheduler": "karras",
    "seed": "5", "steps": 20, "guidance_scale": 4.0, "sharpness": 2.0,
}  # fmt: skip


def comfy_texts(nodes):
    return {"prompt": json.dumps(nodes), "workflow": json.dumps(workflow(nodes))}


MADE = {
    "A1111, PNG": lambda p: png(p, parameters=A1111),
    "A1111, JPEG": lambda p: comment(p, ".jpg", A1111),
    "A1111, WebP": lambda p: comment(p, ".webp", A1111),
    "A1111, no negative prompt": lambda p: png(p, parameters=f"{PROMPT}\n{LAST}"),
    "Civitai, JPEG": lambda p: comment(p, ".jpeg", CIVITAI),
    "ComfyUI, PNG": lambda p: png(p, **comfy_texts(COMFY)),
    "InvokeAI 3, PNG": lambda p: png(p, invokeai_metadata=json.dumps(INVOKE)),
    "InvokeAI 2, PNG": lambda p: png(p, **{"sd-metadata": json.dumps(INVOKE_2)}),
    "InvokeAI 1, PNG": lambda p: png(p, Dream=f'"{PROMPT}" -s 20 -S 5 -W 512 -H 512 -C 7.5 -A k_lms'),
    "Fooocus, PNG": lambda p: png(p, parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus"),
}
"""What sd-parsers reads too."""


@pytest.mark.parametrize("case", MADE)
def test_sd_parsers_and_we_read_the_same_prompt(case, tmp_path):
    path = MADE[case](tmp_path / "x")
    with Image.open(path) as picture:
        (sampler,) = ParserManager().parse(picture).samplers
    assert read_origin(path) == Origin(PROMPT) and [prompt.value for prompt in sampler.prompts] == [PROMPT]


MORE = {
    "Civitai, little-endian": (lambda p: comment(p, ".jpg", CIVITAI, "utf-16-le"), PROMPT),
    "a byte order mark": (lambda p: comment(p, ".webp", "\ufeff" + A1111, "utf-16-le"), PROMPT),
    "Civitai's own graphs": (lambda p: comment(p, ".jpeg", json.dumps(ON_CIVITAI)), PROMPT),
    "Civitai's own graphs, not ASCII": (lambda p: comment(p, ".jpeg", json.dumps(ON_CIVITAI, ensure_ascii=False), "utf-16-le"), PROMPT),
    "ComfyUI, WebP": (
        lambda p: exif(p, ".webp", {0x0110: f"prompt:{json.dumps(COMFY)}", 0x010F: "workflow:{}"}, inner=False), PROMPT,
    ),
    "ComfyUI, two texts combined": (lambda p: png(p, **comfy_texts(COMBINED)), f"{PROMPT}, a tree"),
    "ComfyUI, a text of another node": (lambda p: png(p, **comfy_texts(LINKED)), PROMPT),
    "ComfyUI, a guider": (lambda p: png(p, **comfy_texts(GUIDED)), PROMPT),
    "ComfyUI, drawn in two passes": (lambda p: png(p, **comfy_texts(REFINED)), "a finer dog"),
    "ComfyUI, nothing known": (lambda p: png(p, prompt=json.dumps({"1": {"class_type": "X", "inputs": {"text": "no"}}})), None),
    "ComfyUI, a ring": (lambda p: png(p, prompt=json.dumps(graph(**{"6": {"class_type": "X", "inputs": {"a": ["6", 0]}}}))), None),
    "InvokeAI, weights": (
        lambda p: png(p, invokeai_metadata=json.dumps({**INVOKE, "positive_prompt": "a dog++ on a (big mat)1.3"})),
        "a dog on a big mat",
    ),
    "SwarmUI": (lambda p: png(p, parameters=json.dumps({"sui_image_params": {"prompt": PROMPT}})), PROMPT),
    "Fooocus, JPEG": (lambda p: exif(p, ".jpg", {0x9286: json.dumps(FOOOCUS)}, inner=False), PROMPT),
    "a prompt as it is": (lambda p: png(p, prompt=PROMPT, seed="5"), PROMPT),
    "no prompt before the negative one": (lambda p: png(p, parameters=f"Negative prompt: ugly\n{LAST}"), ""),
    "nothing but settings": (lambda p: png(p, parameters=LAST), ""),
    "a line that begins as settings do": (lambda p: png(p, parameters=f"stairs\nSteps: one, two\n{LAST}"), "stairs\nSteps: one, two"),
    "weights and tags of A1111": (lambda p: png(p, parameters=f"a ((dog:1.3)) <lora:x:1> [blurry]\n{LAST}"), "a dog blurry"),
    "A1111 that weighs nothing": (lambda p: png(p, parameters=f"a (dog:1.3)\n{LAST}, Emphasis: None"), "a (dog:1.3)"),
    "text behind the pixels": (lambda p: behind(p, A1111), PROMPT),
    "ours, plain": (lambda p: png(p, ldm=json.dumps({"prompt": "a (dog)", "weighting": "none", "model": "m"})), "a (dog)"),
    "ours, weighted": (lambda p: png(p, ldm=json.dumps({"prompt": "a (dog:1.3)", "weighting": "a1111"})), "a dog"),
    "ours, of an earlier version": (lambda p: png(p, ldm=json.dumps({"prompt": "a (dog)"})), "a (dog)"),
    "nothing": (lambda p: png(p), None),
    "damage": (lambda p: damaged(p), None),
}  # fmt: skip
"""By what a picture is made as, and the caption that is meant; "" is no caption, and not one of a manifest either."""


@pytest.mark.parametrize("case", MORE)
def test_the_prompt_is_the_one_that_was_meant(case, tmp_path):
    make, prompt = MORE[case]
    assert read_origin(make(tmp_path / "x")).prompt == prompt


def behind(path, text):
    """A PNG whose text stands after its pixels, as some tools add it."""
    plain, full = png(path), png(path.with_name("y"), parameters=text)
    body, chunk = plain.read_bytes(), full.read_bytes()
    start = chunk.index(b"parameters") - 8
    length = int.from_bytes(chunk[start : start + 4], "big") + 12
    plain.write_bytes(body[:-12] + chunk[start : start + length] + body[-12:])
    return plain


def damaged(path):
    file = png(path, parameters="x" * 500)
    file.write_bytes(file.read_bytes()[:60])
    return file


def test_a_sheet_is_known_by_what_it_says_of_itself(tmp_path):
    sheet, picture = tmp_path / "a.png", png(tmp_path / "b", ldm=json.dumps({"prompt": "a dog"}))
    sheet.write_bytes(encode_picture(Image.new("RGB", (8, 8)), "png", sheet_texts("grid")))
    film = tmp_path / "c.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(film, save_all=True, append_images=frames[1:], comment=sheet_comment("animation"))
    assert [is_sheet(path) for path in (sheet, film, picture, tmp_path / "no.png")] == [True, True, False, False]
    assert read_origin(sheet) == Origin(sheet="grid") and read_origin(film).sheet == "animation"
