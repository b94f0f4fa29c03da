"""`_` and `-` are the same in names of options and commands, and nowhere else."""

from dataclasses import replace

import pytest

from ldmcli.commands import generate as command


@pytest.fixture
def parsed(ldm, monkeypatch):
    """The config that a command line stands for; the model is never looked up."""

    def parse(*argv):
        kept = []

        class Enough(Exception):
            pass

        def keep(typed, prompts_file, sweep, config):
            kept.append(replace(config, prompts=tuple(typed)))
            raise Enough

        monkeypatch.setattr(command, "collect_requests", keep)
        with pytest.raises(Enough):
            ldm(*argv)
        return kept[0]

    return parse


@pytest.mark.parametrize("spelling", ["--guidance-scale", "--guidance_scale", "--cfg-scale", "--cfg_scale", "--cfg"])
def test_guidance_has_many_names(parsed, spelling):
    assert parsed("generate", "a", spelling, "3").cfg == 3.0
    assert parsed("generate", "a", f"{spelling}=3").cfg == 3.0


def test_flags_and_their_opposites_may_have_underscores(parsed):
    assert parsed("generate", "a", "--no_metadata").metadata is False
    assert parsed("generate", "a", "--no_sigma_clip").sigma_clip is False


def test_values_keep_their_underscores(parsed):
    config = parsed("generate", "snake_case", "-p", "--not_an_option", "--negative_prompt=ugly_thing", "-o", "--out_put")
    assert config.prompts == ("snake_case", "--not_an_option")
    assert config.negative_prompt == "ugly_thing" and config.output == "--out_put"


def test_what_stands_after_two_dashes_is_text(parsed):
    assert parsed("generate", "--cfg", "3", "--", "--cfg_scale", "--debug", "--help").prompts == ("--cfg_scale", "--debug", "--help")


def test_arguments_come_before_prompts_given_by_option(parsed):
    assert parsed("generate", "-p", "b", "a").prompts == ("a", "b")


def test_long_options_are_not_abbreviated(ldm):
    code, _, err = ldm("generate", "a", "--guid", "3")
    assert code == 2 and err.startswith("error: No such option: --guid")


def test_commands_may_have_underscores(ldm):
    code, _, err = ldm("train_vae")
    assert code == 2 and "--data is missing" in err


def test_size_sets_both_sides_and_width_or_height_win(parsed):
    assert (parsed("generate", "a", "--size", "64x32").width, parsed("generate", "a", "--size", "64X32").height) == (64, 32)
    config = parsed("generate", "a", "--size", "64", "-H", "128")
    assert (config.width, config.height) == (64, 128)


@pytest.mark.parametrize(
    ("spelling", "meant"), [("float32", "fp32"), ("float16", "fp16"), ("bfloat16", "bf16"), ("fp16", "fp16"), ("auto", "auto")]
)
def test_precisions_have_long_names(parsed, spelling, meant):
    assert parsed("generate", "a", "--dtype", spelling).dtype == meant


@pytest.mark.parametrize("spelling", ["DPM++ 2M Karras", "dpmpp_2m_karras", "k_dpmpp_2m_karras", "dpm++2m-karras"])
def test_schedulers_are_understood_in_the_spelling_of_any_tool(parsed, spelling):
    assert parsed("generate", "a", "--sampler", spelling).scheduler == "dpm++2m-karras"


def test_seed_minus_1_means_draw_one(parsed):
    assert parsed("generate", "a", "-s", "-1").seed is None
    assert parsed("generate", "a", "--seed=0").seed == 0
