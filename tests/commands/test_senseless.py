"""Options that can do nothing together are refused before torch is imported."""

import pytest

SENSELESS = {
    "guided when, and never": (["a", "--cfg", "1", "--cfg-interval", "0.2,0.8"], "--cfg-interval says when to guide"),
    "guided again, and never": (["a", "--cfg", "1", "--cfg-reuse", "2"], "--cfg-reuse saves a part of guidance"),
    "guided at no call": (["a", "--cfg-reuse", "0"], "--cfg-reuse must be between 1 and 1000"),
    "guided at every other half": (["a", "--cfg-reuse", "1.5"], "--cfg-reuse"),
    "no guidance to be corrected": (["a", "--cfg", "0", "--cfg-rescale", "0.7"], "--cfg-rescale corrects guidance"),
    "no guidance away from anything": (["a", "--cfg", "1", "--negative", "red"], "--negative-prompt works through guidance"),
    "nothing is enlarged": (["a", "--resample", "lanczos"], "--resample says how --upscale enlarges"),
    "enlarged once": (["a", "--resample", "lanczos", "--upscale", "1"], "--resample says how --upscale enlarges"),
    "kept and replaced": (["a", "--resume", "--overwrite"], "--resume keeps what is finished"),
    "measured and hidden": (["a", "--measure", "-q"], "--quiet hides what --measure prints"),
    "one network, and a page about all": (["a", "--low-memory", "--trace", "t"], "--trace looks at all networks"),
    "one network, and two to compare": (["a", "--low-memory", "--measure"], "--measure loads what is exact"),
    "an unknown precision of the VAE": (["a", "--vae-dtype", "int8"], "--vae-dtype int8: auto"),
    "verified with tiles": (["--from-image", "x.png", "--verify", "--vae-tiling"], "tiled_decode cannot be given"),
    "swept and given": (["a", "--cfg", "3", "--sweep", "cfg=4,5"], "--cfg is given beside --sweep cfg="),
    "swept and given, other spelling": (["a", "--cfg-rescale", "0", "--sweep", "cfg-rescale=0,1"], "--cfg-rescale is given beside --sweep"),
    "verified and measured": (["--from-image", "x.png", "--verify", "--measure"], "measure cannot be given"),
    "verified with another meaning": (["--from-image", "x.png", "--verify", "--weighting", "a1111"], "weighting cannot be given"),
    "verified with another guidance": (["--from-image", "x.png", "--verify", "--cfg-interval", "0,1"], "cfg_interval cannot be given"),
    "verified with guidance used again": (["--from-image", "x.png", "--verify", "--cfg-reuse", "2"], "cfg_reuse cannot be given"),
    "a step that the scheduler cannot take": (["a", "--scheduler", "ddim", "--spacing", "linspace"], "ddim cannot use linspace"),
    "an interval of one number": (["a", "--cfg-interval", "0.5"], "LO,HI is needed"),
    "an interval in words": (["a", "--cfg-interval", "early,late"], "LO,HI is needed"),
    "an empty interval": (["a", "--cfg-interval", ""], "LO,HI is needed"),
    "an interval the wrong way round": (["a", "--cfg-interval", "0.8,0.2"], "0 <= LO < HI <= 1"),
    "an interval of timesteps": (["a", "--cfg-interval", "200,800"], "0 <= LO < HI <= 1"),
    "an interval of nan": (["a", "--cfg-interval", "nan,1"], "0 <= LO < HI <= 1"),
    "a strength of nothing": (["a", "--strength", "0.5"], "--strength says how far to go from --init-image"),
    "a mask over nothing": (["a", "--mask", __file__], "--mask says which part of --init-image"),
    "a mask, and nothing drawn": (["a", "--init-image", __file__, "--mask", __file__, "--strength", "0"], "--strength 0 draws nothing"),
    "too strong": (["a", "--init-image", __file__, "--strength", "1.2"], "--strength must be in [0, 1], got 1.2"),
    "frames to nowhere": (["a", "--frames", "4"], "--frames go from one picture to another"),
    "one frame": (["a", "--frames", "1", "--seed-to", "3"], "--frames must be between 2 and 10,000"),
    "an end, and no frames": (["a", "--seed-to", "3"], "--seed-to and --prompt-to say where the frames end"),
    "frames, and several": (["a", "--seed-to", "3", "--frames", "4", "-n", "2"], "-n asks for several"),
    "a film of no frames": (["a", "--frames-as", "gif"], "--frames-as shows --frames"),
    "two noises to go to": (["a", "--seed-to", "3", "--frames", "4", "--variation", "3:0.1"], "both say which noise to go to"),
    "a variation without an amount": (["a", "--variation", "3"], "SEED:AMOUNT is needed"),
    "a variation beyond the other": (["a", "--variation", "3:1.5"], "the amount must be between 0 and 1"),
    "a variation of a drawn seed": (["a", "--variation", "-1:0.5"], "the seed must be between 0"),
    "a variation of nothing": (["a", "--init-image", __file__, "--strength", "0", "--variation", "1:1"], "--strength 0 draws nothing"),
    "taken apart from the middle": (
        ["a", "--init-image", __file__, "--trace", "t"],
        "--trace explains a picture",
    ),
    "an unknown weighting": (["a", "--weighting", "compel"], "none or a1111"),
    "a swept weighting that is none": (["a", "--sweep", "weighting=none,compel"], "none or a1111"),
}


@pytest.mark.parametrize("what", SENSELESS)
def test_options_that_make_no_sense_together_are_refused_before_torch_is_imported(light, tmp_path, what):
    argv, words = SENSELESS[what]
    done = light("generate", *argv)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ") and words in first and len(rest) <= 1
    assert not list(tmp_path.iterdir())


SENSIBLE = {
    "strict about lines, and nothing dropped": ["--strict", "--long-prompts"],
    "one of a sweep has no guidance": ["--sweep", "cfg=1,4", "--negative", "red", "--cfg-interval", "0.2,0.8"],
    "guided at every call, and never": ["--cfg", "1", "--cfg-reuse", "1"],
    "everything at once": [
        "--cfg-interval",
        "0,0.5",
        "--cfg-reuse",
        "2",
        "--cfg-rescale",
        "0.5",
        "--weighting",
        "a1111",
        "--long-prompts",
        "--measure",
    ],  # fmt: skip
    "measured for a script": ["--measure", "-q", "--json"],
    "everything small": ["--low-memory", "--vae-tiling", "--vae_dtype", "float16", "--batch-size", "1"],
    "a part of a picture": ["--init-image", __file__, "--mask", __file__, "--strength", "0.5", "-n", "3"],
    "strengths": ["--init-image", __file__, "--sweep", "strength=0.2,0.5"],
    "a film": ["--seed-to", "3", "--prompt-to", "b", "--frames", "4", "--frames-as", "gif"],
    "enlarged": ["--upscale", "2", "--resample", "lanczos"],
}


@pytest.mark.parametrize("what", SENSIBLE)
def test_options_that_make_sense_together_get_as_far_as_the_model(light, what):
    done = light("generate", "a", "-m", "no/such/model", *SENSIBLE[what])
    assert done.returncode == 6 and "no model at" in done.stderr
