"""`ldm help`: pages, options, questions, mistakes; and the documents themselves."""

import json
import sys
from pathlib import Path

import pytest

from ldmcli.commands import guide_pages
from ldmcli.commands.app import SUMMARIES, load_command
from ldmcli.commands.guide_pages import pages
from ldmcli.commands.guide_search import ranked
from ldmcli.console.guide import plain, spoken_links

sys.path[:0] = [str(Path(__file__).parents[2] / "scripts" / "checks")]

import guide as check  # noqa: E402

TOPICS = (
    "batches", "contributing", "data", "distributed", "first-picture", "glossary", "measuring", "memory-and-speed", "models", "options",
    "prompts", "python", "reproducibility", "safety", "schedulers", "training",
)  # fmt: skip
"""That must be there; there may be more."""


HEAVY = ("torch", "diffusers", "transformers", "accelerate", "numpy", "PIL", "rich", "matplotlib")


@pytest.mark.parametrize("asked", [["schedulers"], ["generate"], ["--resume"], ["how do I resume"]], ids=" ".join)
def test_an_answer_needs_no_heavy_package(light, asked):
    done = light("help", *asked, heavy=HEAVY)
    assert done.returncode == 0 and done.stdout and done.stderr == ""


def test_the_list_has_every_page_with_its_first_line(light):
    done = light("help", heavy=HEAVY)
    assert done.returncode == 0 and done.stderr == ""
    listed = {line.split()[0]: line.split(None, 1)[1] for line in done.stdout.splitlines() if line.strip() and line.split()[0] in pages()}
    assert set(TOPICS) <= set(listed) == {path.stem for path in guide_pages.FOLDER.glob("*.md")}
    assert all(listed[topic] and page.title.endswith(listed[topic]) for topic, page in pages().items())
    assert listed["batches"].startswith("many prompts") and listed["schedulers"].startswith("Schedulers (samplers)")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_plain_text_in_a_pipe(ldm, topic):
    code, out, err = ldm("help", topic)
    assert code == 0 and err == ""
    assert out.startswith(f"{pages()[topic].title}\n===")
    assert "```" not in out and "](" not in out and "**" not in out
    assert all(line.startswith(("    ", "|")) or len(line) <= 140 for line in out.splitlines())


QUESTIONS = {
    "how do I resume": ("--resume auto goes on with the newest checkpoint", "Pictures that are finished and unchanged are skipped"),
    "resume": ("Skip what the folder's manifest says is finished", "ldm help batches"),
    "what does --cfg-interval do": ("--cfg-interval LO,HI: Guide only there", "guides only in a part of the way"),
    "cfg-interval": ("--cfg-interval LO,HI: Guide only there", "guides only in a part of the way"),
    "--cfg_interval": ("--cfg-interval LO,HI: Guide only there",),
    "which sampler for 10 steps": ("Which sampler for how many steps", "With 10 steps it is closest", "ldm help schedulers"),
    "out of memory": ("--low-memory: one network at a time",),
    "fine-tune a model": ("--init takes whatever",),
    "train on several GPUs": ("torchrun",),
    "where is COCO": ("https://cocodataset.org",),
    "is there a safety checker": ("No filter looks at the pictures",),
    "what is a latent": ("The small picture that the U-Net works on",),
    "stable diffusion v1.4": ("-m CompVis/stable-diffusion-v1-4",),
    "same picture again": ("--from-image",),
    "how long does training take": ("Then it prints what the whole run would need",),
    "-n": ("-n, --num-images N: Pictures per prompt",),
    "vae": ("--vae MODEL",),
    "save as jpg": ("--format png, webp (lossless) and jpg",),
    "draw on a gpu": ("--device auto takes an NVIDIA GPU",),
    "change the size of the picture": ("--size 96x64 is the width and height",),
}
"""What is asked -> what the one answer says."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_in_one_call(ldm, question):
    code, out, err = ldm("help", question)
    assert code == 0, err
    for answer in QUESTIONS[question]:
        assert answer in out, out


def test_words_need_no_quotes_and_a_page_may_be_asked(ldm):
    assert ldm("help", "which", "sampler", "for", "10", "steps")[1] == ldm("help", "which sampler for 10 steps")[1]
    assert ldm("help", "--cfg-interval")[1].startswith("--cfg-interval\n=")
    within = ldm("help", "distributed", "resume")[1]
    assert within.startswith("Resume with another number of processes\n---")


@pytest.mark.parametrize("name", SUMMARIES)
def test_options_of_a_command_are_all_there(ldm, name):
    code, out, _ = ldm("help", "options", name)
    assert code == 0 and out == ldm("help", name)[1]
    for each in load_command(name).options:
        assert each.argument or not each.flags or each.name in out, each.name


MISTAKES = {
    ("schedulrs",): "schedulers",
    ("trainin",): "training",
    ("--cfg-intervall",): "--cfg-interval",
    ("genrate",): "generate",
    ("options", "generat"): "generate",
    ("qqqq",): "ldm help",
    ("xyzzy", "plugh"): "ldm help",
}


@pytest.mark.parametrize("topic", MISTAKES)
def test_what_is_not_there_is_a_usage_error_with_names_that_come_close(ldm, topic):
    code, out, err = ldm("help", *topic)
    assert code == 2 and out == ""
    first, second = err.splitlines()
    assert first.startswith("error: ") and MISTAKES[topic] in second


def test_json_holds_the_same_text(ldm):
    body = json.loads(ldm("help", "schedulers", "--json")[1])
    assert body == {"asked": "schedulers", "text": pages()["schedulers"].text.strip()}


def test_links_say_what_to_type_and_marks_go():
    text = (
        "# A *b*\n\nSee [data](data.md), [the loop](x.md#a), [here](../../scripts/demo), [x](https://x.org) and **`c`**.\n\n![p](p.png)\n"
    )
    assert spoken_links("[data](data.md)") == "`ldm help data`"
    assert plain(text).split("\n") == [
        "A *b*", "=====", "",
        "See ldm help data, the loop (ldm help x), here (scripts/demo), x (https://x.org) and c.",
    ]  # fmt: skip
    assert plain("```\n# no title\n```") == "    # no title"
    assert "\x1b" not in plain("\x1b[31mred")


def test_rare_words_and_headings_count_more():
    sections = [guide_pages.Section("a", "Walks", "## Walks\n\nstep step step"), guide_pages.Section("b", "Cats", "## Cats\n\nzebra step")]
    titles = {"a": "A", "b": "B"}
    assert [section.topic for _, section in ranked("zebra step", sections, titles)][0] == "b"
    assert [section.topic for _, section in ranked("walking steps", sections, titles)][0] == "a"
    assert ranked("how do I", sections, titles) == []


def test_documents_are_current_short_and_whole():
    """After a change of options: python scripts/options_page.py > ldmcli/guide/options.md"""
    assert list(check.problems()) == []


def test_stale_long_and_dead_documents_are_found(tmp_path, monkeypatch):
    (tmp_path / "ldmcli/guide").mkdir(parents=True)
    (tmp_path / "ldmcli/guide/options.md").write_text("# stale\n")
    (tmp_path / "README.md").write_text(
        "ldm\n[a](b.md) [c](#no-such) [d](../x)\n" + "x" * 121 + "\n" + "word " * 8 + "\n" * 200 + "w " * 1500
    )
    monkeypatch.setattr(check, "ROOT", tmp_path)
    found = "\n".join(check.problems())
    for part in ("stale", "dead link b.md", "dead link #no-such", "dead link ../x", "121 characters", "not its title", "lines", "words"):
        assert part in found, part
