"""Scheduler names: every tool's spelling, and what a typo is answered."""

import sys

import pytest
from running import finished

from ldmcli.diffusion.catalogue import SCHEDULERS, check_steps, normalise, resolve
from ldmcli.errors import UsageError

SPELLINGS = {
    "ddim": ["DDIM", "ddim", "DDIMScheduler", "k_ddim"],
    "ddpm": ["DDPM", "ddpm", "DDPMScheduler"],
    "pndm": ["pndm", "PLMS", "plms", "PNDMScheduler", "PNDM"],
    "dpm++2m": [
        "DPM++ 2M",
        "dpmpp_2m",
        "dpm++2m",
        "dpm++",
        "dpmsolver++",
        "DPMSolverMultistepScheduler",
        "k_dpmpp_2m",
        "dpmpp_2m / normal",
    ],
    "dpm++2m-karras": ["DPM++ 2M Karras", "DPM++ 2M + Karras", "dpmpp_2m_k", "dpmpp_2m / karras", "dpmpp-2m-karras", "dpm++karras"],
    "dpm++2m-sde": ["DPM++ 2M SDE", "dpmpp_2m_sde", "dpm++2m_sde", "dpmpp_2m_sde_gpu", "sde-dpmsolver++"],
    "dpm++2m-sde-karras": ["DPM++ 2M SDE Karras", "dpmpp_2m_sde_k", "dpmpp_2m_sde / karras", "dpm++2m_sde_karras"],
    "unipc": ["UniPC", "uni_pc", "uni_pc_bh2", "unipc", "UniPCMultistepScheduler", "UniPCMultistep"],
    "unipc-karras": ["unipc_k", "UniPC Karras", "uni_pc / karras"],
    "euler": ["Euler", "euler", "k_euler", "EulerDiscreteScheduler", "EulerDiscrete", "euler / discrete", "sample_euler"],
    "euler-karras": ["euler_k", "Euler Karras", "Euler + Karras", "k_euler_karras"],
    "euler-a": ["Euler a", "euler_a", "k_euler_a", "euler_ancestral", "EulerAncestralDiscreteScheduler", " EULER-A "],
    "heun": ["Heun", "heun", "k_heun", "HeunDiscreteScheduler"],
    "heun-karras": ["heun_k", "Heun Karras", "heun / karras"],
    "dpm++3m": ["DPM++ 3M", "dpmpp_3m"],
    "dpm++2s": ["DPM++ 2S", "dpmpp_2s", "dpmsingle", "DPMSolverSinglestepScheduler"],
    "dpmsolver": ["DPM-Solver", "dpmsolver"],
    "deis": ["DEIS", "deis", "DEISMultistepScheduler"],
    "deis-karras": ["deis_k", "DEIS Karras"],
    "lms": ["LMS", "k_lms", "LMSDiscreteScheduler"],
    "lms-karras": ["lms_k", "LMS Karras"],
    "dpm2": ["DPM2", "dpm_2", "kdpm_2", "KDPM2DiscreteScheduler"],
    "dpm2-karras": ["kdpm_2_k", "DPM2 Karras"],
    "dpm2-a": ["DPM2 a", "dpm_2_ancestral", "dpm_2_a", "k_dpm_2_a", "kdpm_2_a"],
    "dpm2-a-karras": ["DPM2 a Karras", "kdpm_2_a_k"],
    "dpm++sde": ["DPM++ SDE", "dpmpp_sde", "DPMSolverSDEScheduler"],
    "dpm++sde-karras": ["DPM++ SDE Karras", "dpmpp_sde_k"],
    "lcm": ["LCM", "lcm", "LCMScheduler"],
    "tcd": ["TCD", "tcd", "TCDScheduler"],
}


def test_every_row_has_spellings_here():
    assert list(SPELLINGS) == [row.name for row in SCHEDULERS]


@pytest.mark.parametrize(("name", "spelling"), [(name, spelling) for name, all_of_it in SPELLINGS.items() for spelling in all_of_it])
def test_the_spelling_of_every_tool_is_understood(name, spelling):
    assert resolve(spelling).name == name


def test_no_two_rows_share_a_key():
    keys = [normalise(row.name) for row in SCHEDULERS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("typo", "meant"), [("eulr", "euler"), ("dpm++2n", "dpm++2m"), ("unpic", "unipc"), ("ddimm", "ddim")])
def test_a_typo_is_answered_with_the_name_that_was_meant(typo, meant):
    with pytest.raises(UsageError) as caught:
        resolve(typo)
    assert caught.value.exit_code == 2
    assert repr(typo) in caught.value.message
    offered = caught.value.hint.removeprefix("Did you mean ").partition("? Known:")[0]
    assert meant in offered.split(" or ")


@pytest.mark.parametrize("name", ["", "karras", "ddim-karras", "euler-a-karras", "k_", "dpm++9m", "[red]", "e" * 1000])
def test_what_we_do_not_have_is_a_usage_error_that_lists_what_we_have(name):
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert "Known: ddim, " in caught.value.hint


@pytest.mark.parametrize("row", SCHEDULERS, ids=lambda row: row.name)
def test_steps_are_bounded(row):
    check_steps(row, 1)
    check_steps(row, row.max_steps)
    assert row.max_steps == (1000 if row.name == "ddpm" else 999)
    for steps in (0, -1, row.max_steps + 1):
        with pytest.raises(UsageError, match=f"got {steps}"):
            check_steps(row, steps)


def test_titles_are_what_a1111_prints():
    row = resolve("dpmpp_2m_k")
    assert (row.title, row.schedule_type) == ("DPM++ 2M", "Karras")
    assert resolve("plms").title == "PLMS"
    assert resolve("euler").schedule_type is None


def test_the_catalogue_needs_no_torch():
    probe = "import sys; sys.modules['torch'] = None; import ldmcli.diffusion.catalogue"
    done = finished([sys.executable, "-c", probe])
    assert done.returncode == 0, done.stderr
