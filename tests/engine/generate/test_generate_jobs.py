"""Which pictures a command stands for: several prompts, prompts files and sweeps."""

import io
import json
import sys

import pytest

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.batches import batches
from ldmcli.engine.jobs import expand_sweep, parse_sweep
from ldmcli.engine.plan import plan_jobs
from ldmcli.engine.requests import Request, RequestList
from ldmcli.errors import UsageError


def jobs_of(*requests, seed=5):
    return [(job.prompt, job.seed) for job in plan_jobs(requests, seed)]


def test_the_last_option_of_a_sweep_turns_fastest():
    assert parse_sweep(["cfg=3,5.5", "scheduler = ddim, unipc"]) == [
        {"cfg": 3.0, "scheduler": "ddim"}, {"cfg": 3.0, "scheduler": "unipc"},
        {"cfg": 5.5, "scheduler": "ddim"}, {"cfg": 5.5, "scheduler": "unipc"},
    ]  # fmt: skip
    assert parse_sweep(["cfg-rescale=0,1"]) == [{"cfg_rescale": 0.0}, {"cfg_rescale": 1.0}]


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        (["cfg"], "NAME=VALUE"),
        (["seed=1,2"], "NAME is one of scheduler, steps, cfg"),
        (["cfg=3", "cfg=5"], "one option twice"),
        (["cfg-rescale=0", "cfg_rescale=1"], "one option twice"),
        (["steps=3.5"], "--sweep steps=3.5"),
        (["cfg="], "--sweep cfg="),
        (["cfg=3,nan"], "--cfg"),
        (["steps=5,0"], "got 0"),
        (["width=64,63"], "--width"),
        (["scheduler=ddim,magic"], "No scheduler is called 'magic'"),
        (["scheduler=ddpm,ddim", "steps=1000"], "ddim takes 1 to 999"),
    ],
)
def test_a_sweep_that_cannot_be_is_a_usage_error(sweep, words):
    with pytest.raises(UsageError) as caught:
        expand_sweep(RequestList([Request("a", GenerateConfig())]), sweep)
    assert words in caught.value.message


def test_every_prompt_gets_every_combination_with_the_same_seeds():
    requests = RequestList([Request("a", GenerateConfig(num_images=2)), Request("b", GenerateConfig(), seed=9)])
    jobs = plan_jobs(expand_sweep(requests, ["steps=3,4"]), 5)
    assert [(job.prompt, job.config.steps, job.seed) for job in jobs] == [
        ("a", 3, 5), ("a", 3, 6), ("a", 4, 5), ("a", 4, 6), ("b", 3, 9), ("b", 4, 9),
    ]  # fmt: skip
    assert [job.number for job in jobs] == list(range(6))


def test_a_repeated_prompt_goes_on_counting_only_where_all_settings_are_the_same():
    config, other = GenerateConfig(), GenerateConfig(cfg=2.0)
    assert jobs_of(Request("a", config), Request("a", other), Request("a", config), Request("a", config, seed=9)) == [
        ("a", 5), ("a", 5), ("a", 6), ("a", 9),
    ]  # fmt: skip


def test_the_last_seed_of_all_is_the_limit():
    assert jobs_of(Request("a", GenerateConfig(num_images=2)), seed=2**64 - 2)[-1] == ("a", 2**64 - 1)
    with pytest.raises(UsageError, match="beyond"):
        jobs_of(Request("a", GenerateConfig(num_images=3)), seed=2**64 - 2)


def test_a_batch_holds_pictures_of_the_same_settings_wherever_they_stand():
    config, other = GenerateConfig(), GenerateConfig(steps=3)
    jobs = plan_jobs([Request(str(i), other if i % 2 else config) for i in range(7)], 0)
    assert [[job.number for job in batch] for batch in batches(jobs, lambda job: 3)] == [[0, 2, 4], [6], [1, 3, 5]]


def test_lines_of_a_file_are_drawn_with_their_own_seeds_and_options_in_few_batches(generate, evaluations, tmp_path):
    lines = [{"prompt": "a dog", "steps": 1 + i % 2} for i in range(6)]
    lines += [{"prompt": "a cat", "seed": 70, "num_images": 2, "scheduler": "heun", "steps": 2, "cfg": 2, "negative_prompt": "red"}]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, _ = generate("a bird", "-f", file, "-s", "5", "--steps", "1", "-o", f"{tmp_path}/out/", "--width", "32", "--json")
    images = json.loads(out)["images"]
    assert code == 0 and evaluations == [4] + [3, 3] + [2, 2, 2]  # steps 1, with the bird; steps 2; heun
    assert [image["path"].rpartition("/")[2] for image in images] == [
        "00000_seed5.png", "00001_seed5.png", "00002_seed5.png", "00003_seed6.png", "00004_seed6.png", "00005_seed7.png",
        "00006_seed7.png", "00007_seed70.png", "00008_seed71.png",
    ]  # fmt: skip
    assert [image["prompt"] for image in images] == ["a bird"] + ["a dog"] * 6 + ["a cat"] * 2
    assert [image["steps"] for image in images] == [1, 1, 2, 1, 2, 1, 2, 2, 2]
    last = images[-1]
    assert (last["scheduler"], last["cfg"], last["negative_prompt"], last["num_unet_calls"]) == ("heun", 2.0, "red", 3)
    assert (last["width"], last["height"]) == (32, 64)


def test_a_swept_picture_is_the_one_drawn_alone(generate, tmp_path):
    shared = ("a dog", "-s", "5", "--steps", "2", "--batch-size", "1", "-q")
    assert generate(*shared, "-o", f"{tmp_path}/swept/", "--sweep", "cfg=2,4", "--sweep", "scheduler=ddim,euler-a")[0] == 0
    assert generate(*shared, "-o", tmp_path / "alone.png", "--cfg", "4", "--scheduler", "ddim")[0] == 0
    pictures = [path.read_bytes() for path in sorted((tmp_path / "swept").glob("*.png"))]
    assert len(set(pictures)) == 4 and pictures[2] == (tmp_path / "alone.png").read_bytes()


@pytest.fixture
def piped(monkeypatch):
    """Put bytes on standard input."""

    def put(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


@pytest.mark.parametrize("arguments", [(), ("-f", "-")])
def test_prompts_may_be_piped_in(generate, piped, tmp_path, arguments):
    piped(b"a dog\r\n# no\n" + '{"prompt": "caf\xe9", "seed": 8}'.encode())
    code, out, _ = generate(*arguments, "-s", "5", "--steps", "1", "-o", f"{tmp_path}/", "--json")
    assert code == 0 and [(i["prompt"], i["seed"]) for i in json.loads(out)["images"]] == [("a dog", 5), ("caf\xe9", 8)]


def test_standard_input_is_left_alone_when_there_is_a_prompt(generate, piped, tmp_path):
    piped(b"a dog\n")
    assert generate("a cat", "-s", "5", "--steps", "1", "-o", f"{tmp_path}/", "-q")[0] == 0
    assert sys.stdin.read() == "a dog\n"


MIXED = 'a dog\n{"prompt": "a"\n{"prompt": "a cat", "steps": 0}\n{"prompt": "a cat", "scheduler": "deis"}\na cat\n'


def test_lines_that_fail_are_named_in_the_json_and_the_others_are_drawn(generate, tmp_path):
    (tmp_path / "prompts").write_text(MIXED)
    code, out, err = generate("-f", tmp_path / "prompts", "-s", "5", "--steps", "1", "-o", f"{tmp_path}/out/", "--json")
    report = json.loads(out)
    assert code == 3
    assert [image["prompt"] for image in report["images"]] == ["a dog", "a cat"]
    assert [set(item) for item in report["failed"]] == [{"line", "prompt", "error", "exit_code"}] * 3
    assert [(item["line"], item["prompt"], item["exit_code"]) for item in report["failed"]] == [(2, None, 2), (3, None, 2), (4, "a cat", 2)]
    assert "not JSON" in report["failed"][0]["error"] and "deis" in report["failed"][2]["error"]
    assert "warning: left out: line 2: not JSON" in err  # at once, not after hours
    assert "error: 3 of 5 could not be drawn: line 2: not JSON" in err and "line 4: deis" in err and "Traceback" not in err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["00000_seed5.png", "00002_seed5.png"]


def test_of_many_bad_lines_five_are_told(generate, tmp_path):
    (tmp_path / "prompts").write_text("a dog\n" + "{\n" * 9)
    code, out, err = generate("-f", tmp_path / "prompts", "-s", "5", "--steps", "1", "-o", f"{tmp_path}/out/", "-q")
    assert code == 3 and out.endswith("00000_seed5.png\n")
    assert err.count("line 6:") == 2 and "line 7" not in err and err.count("and 4 more.") == 2


def test_a_scheduler_that_the_model_cannot_do_is_a_usage_error_when_nothing_else_was_asked_for(generate, tmp_path):
    code, out, err = generate("a dog", "a cat", "--scheduler", "deis", "-s", "5", "-o", f"{tmp_path}/out/")
    assert code == 2 and out == "" and "error: deis cannot start below" in err and "Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_picture_that_overflows_fails_alone(generate, tmp_path):
    (tmp_path / "prompts").write_text('a dog\n{"prompt": "a bird", "cfg": 1e38}\na cat\n')
    code, out, err = generate("-f", tmp_path / "prompts", "-s", "5", "--steps", "2", "-o", f"{tmp_path}/out/", "--json")
    report = json.loads(out)
    assert code == 3 and "Traceback" not in err
    assert [image["prompt"] for image in report["images"]] == ["a dog", "a cat"]
    (item,) = report["failed"]
    assert (item["line"], item["prompt"], item["exit_code"]) == (2, "a bird", 4) and "NaN or infinity" in item["error"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["00000_seed5.png", "00002_seed5.png"]
