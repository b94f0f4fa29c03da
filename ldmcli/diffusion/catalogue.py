"""The schedulers by name, as users of any tool may spell them. Imports no torch: usage errors and lists need only this."""

import difflib
import re
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal, get_args

from ldmcli.config.sampling import Spacing
from ldmcli.errors import UsageError


@dataclass(frozen=True)
class Scheduler:
    """One row: a method of walking from noise to latents, with or without Karras' spacing of the sigmas."""

    name: str
    title: str
    """What A1111 calls the sampler, where it has it."""
    class_name: str
    """The class of diffusers that gives the same latents."""
    aliases: tuple[str, ...] = ()
    _: KW_ONLY
    schedule_type: Literal["Karras"] | None = None
    """What A1111 calls the spacing of the sigmas; None is its Automatic."""
    order: int = 1
    stochastic: bool = False
    spacing: Spacing = "linspace"
    """Where the model's file does not say `trailing` and the user says nothing."""
    max_steps: int = 999
    sigma_space: bool = True
    """Its grid is one of sigmas, whose largest a cosine schedule makes huge."""
    two_calls: bool = False
    """Every step but the last evaluates the network twice."""
    ours: bool = True
    """False: walked by diffusers' own class, through adapter.py."""
    options: tuple[tuple[str, object], ...] = ()
    """What that class is built with beside the model's schedule."""
    clips: bool = False
    """That class can start at a lower sigma than the schedule's largest."""
    needs: str | None = None
    """A package that is not installed with ldm."""

    @property
    def method(self) -> str:
        """The name without `-karras`."""
        return self.name.removesuffix("-karras")

    @property
    def karras(self) -> bool:
        """Whether the noise levels are those of Karras et al. 2022, eq. 5."""
        return self.schedule_type == "Karras"

    def calls(self, steps: int) -> int:
        """How often the U-Net is evaluated in `steps` steps."""
        if self.two_calls:
            return 2 * steps - 1
        # PLMS repeats its second timestep; with one step there is none to repeat
        return steps + 1 if self.method == "pndm" and steps > 1 else steps

    def steps_within(self, calls: int) -> int:
        """The most steps that evaluate the U-Net at most `calls` times; the inverse of `calls`."""
        if self.two_calls:
            return (calls + 1) // 2
        return max(calls - 1, 1) if self.method == "pndm" else calls


def _karras(row: Scheduler) -> Scheduler:
    # its spellings are those of the plain row, followed by karras (A1111, ComfyUI) or k (InvokeAI)
    spellings = (row.name, row.title, row.class_name, *row.aliases)
    aliases = tuple(spelling + suffix for spelling in spellings for suffix in ("-karras", "_k"))
    return replace(row, name=f"{row.name}-karras", schedule_type="Karras", aliases=aliases)


_MULTISTEP = "DPMSolverMultistepScheduler"

_DPM_2M = Scheduler("dpm++2m", "DPM++ 2M", _MULTISTEP, ("dpm++", "dpmsolver++"), order=2)
_DPM_2M_SDE = Scheduler("dpm++2m-sde", "DPM++ 2M SDE", _MULTISTEP, ("sde-dpmsolver++", "dpmpp_2m_sde_gpu"), order=2, stochastic=True)
_UNIPC = Scheduler("unipc", "UniPC", "UniPCMultistepScheduler", ("uni_pc", "uni_pc_bh2"), order=2)
_EULER = Scheduler("euler", "Euler", "EulerDiscreteScheduler")
_HEUN = Scheduler("heun", "Heun", "HeunDiscreteScheduler", order=2, two_calls=True)

_SINGLESTEP, _ORDER_3 = "DPMSolverSinglestepScheduler", (("solver_order", 3),)
_DEIS = Scheduler("deis", "DEIS", "DEISMultistepScheduler", order=2, ours=False)
_LMS = Scheduler("lms", "LMS", "LMSDiscreteScheduler", order=4, ours=False, needs="scipy")
_DPM_2 = Scheduler("dpm2", "DPM2", "KDPM2DiscreteScheduler", ("dpm_2", "kdpm_2"), order=2, two_calls=True, ours=False)
_DPM_2_A = Scheduler(
    "dpm2-a", "DPM2 a", "KDPM2AncestralDiscreteScheduler", ("dpm_2_ancestral", "dpm_2_a", "kdpm_2_a"), order=2, two_calls=True,
    stochastic=True, ours=False,
)  # fmt: skip
_DPM_SDE = Scheduler(
    "dpm++sde", "DPM++ SDE", "DPMSolverSDEScheduler", ("dpmpp_sde", "dpmpp_sde_gpu"), order=2, two_calls=True, stochastic=True, ours=False,
    needs="torchsde",
)  # fmt: skip
_DISTILLED = {"spacing": "leading", "sigma_space": False, "stochastic": True, "ours": False}

_FOREIGN = (
    Scheduler("dpm++3m", "DPM++ 3M", _MULTISTEP, order=3, options=_ORDER_3, clips=True, ours=False),
    Scheduler("dpm++2s", "DPM++ 2S", _SINGLESTEP, ("dpmsingle",), order=2, options=(("lower_order_final", True),), clips=True, ours=False),
    Scheduler(
        "dpmsolver", "DPM-Solver", _MULTISTEP, order=2, clips=True, ours=False,
        options=(("algorithm_type", "dpmsolver"), ("final_sigmas_type", "sigma_min")),
    ),
    _DEIS,
    _karras(_DEIS),
    _LMS,
    _karras(_LMS),
    _DPM_2,
    _karras(_DPM_2),
    _DPM_2_A,
    _karras(_DPM_2_A),
    _DPM_SDE,
    _karras(_DPM_SDE),
    Scheduler("lcm", "LCM", "LCMScheduler", **_DISTILLED),  # type: ignore[arg-type]
    Scheduler("tcd", "TCD", "TCDScheduler", **_DISTILLED),  # type: ignore[arg-type]
)  # fmt: skip

SCHEDULERS: tuple[Scheduler, ...] = (
    Scheduler("ddim", "DDIM", "DDIMScheduler", spacing="leading", sigma_space=False),
    Scheduler("ddpm", "DDPM", "DDPMScheduler", spacing="leading", sigma_space=False, stochastic=True, max_steps=1000),
    Scheduler("pndm", "PLMS", "PNDMScheduler", ("plms",), spacing="leading", sigma_space=False, order=4),
    _DPM_2M,
    _karras(_DPM_2M),
    _DPM_2M_SDE,
    _karras(_DPM_2M_SDE),
    _UNIPC,
    _karras(_UNIPC),
    _EULER,
    _karras(_EULER),
    Scheduler("euler-a", "Euler a", "EulerAncestralDiscreteScheduler", ("euler_ancestral",), stochastic=True),
    _HEUN,
    _karras(_HEUN),
    *_FOREIGN,
)
"""In the order in which they are listed: the headline set, which is ours, then what diffusers adds."""


def normalise(text: str) -> str:
    """One key for all spellings of a name: `DPM++ 2M Karras`, `dpmpp_2m / karras` and `k_dpmpp_2m_karras` give the same."""
    text = re.sub(r"\s\+\s|/", " ", text.casefold().strip())
    text = re.sub(r"^k[_\- ]|^sample_", "", text)
    text = re.sub(r"[\s_\-]", "", text).replace("dpmpp", "dpm++").replace("scheduler", "")
    return re.sub(r"(?<=.)(normal|discrete|automatic)$", "", text)  # the plain sigma spacing, as ComfyUI, sd.cpp and A1111 call it


def _index() -> dict[str, Scheduler]:
    index: dict[str, Scheduler] = {}
    for row in SCHEDULERS:
        for spelling in (row.name, *row.aliases):
            index.setdefault(normalise(spelling), row)
    for row in SCHEDULERS:  # after all names; a class or title that several rows share means the first of them
        for spelling in (row.title, row.class_name):
            index.setdefault(normalise(spelling), row)
    return index


_INDEX = _index()


def resolve(name: str) -> Scheduler:
    """The row that a user's spelling means. Raises UsageError with the names that come close."""
    key = normalise(name)
    if key in _INDEX:
        return _INDEX[key]
    close = difflib.get_close_matches(key, _INDEX, n=8, cutoff=0.6)
    meant = list(dict.fromkeys(_INDEX[spelling].name for spelling in close))[:4]
    known = ", ".join(row.name for row in SCHEDULERS)
    hint = f"Did you mean {' or '.join(meant)}? Known: {known}." if meant else f"Known: {known}."
    raise UsageError(f"No scheduler is called {name!r}.", hint=hint)


def check_steps(row: Scheduler, steps: int, timesteps: int = 1000) -> None:
    """Raises UsageError outside 1 .. 999 (1000 for ddpm); less for a schedule of fewer training timesteps."""
    most = row.max_steps - max(1000 - timesteps, 0)
    if not 1 <= steps <= most:
        raise UsageError(f"{row.name} takes 1 to {most} steps, got {steps}.", hint="Try --steps 30.")


def check_spacing(row: Scheduler, spacing: str) -> Spacing:
    """Raises UsageError for a spacing that is none, or that the scheduler cannot use."""
    if spacing not in get_args(Spacing):
        raise UsageError(f"No spacing is called {spacing!r}.", hint=f"Use one of {', '.join(get_args(Spacing))}.")
    if spacing == "linspace" and row.method in ("ddim", "pndm"):
        raise UsageError(
            f"{row.name} cannot use linspace spacing: it steps by a fixed number of timesteps, and linspace visits others.",
            hint="Use --spacing leading or --spacing trailing.",
        )
    return spacing  # type: ignore[return-value]  # one of get_args(Spacing)
