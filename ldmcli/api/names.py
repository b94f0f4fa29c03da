"""Schedulers and noise schedules by name."""

from typing import TYPE_CHECKING, Literal

from ldmcli.api.wording import python_words
from ldmcli.config.checks import check
from ldmcli.diffusion.catalogue import SCHEDULERS

if TYPE_CHECKING:
    from ldmcli.diffusion.schedule import NoiseSchedule


def schedulers() -> tuple[str, ...]:
    """The names that `scheduler=` takes, those of `ldm generate --list-schedulers`; other tools' spellings of them will do too."""
    return tuple(row.name for row in SCHEDULERS)


@python_words()
def schedule(name: str, *, prediction: Literal["epsilon", "v"] = "v") -> "NoiseSchedule":
    """A noise schedule of 1000 timesteps: cosine, scaled-linear (Stable Diffusion's) or linear. A model's own is `Pipeline.schedule`.

    Its `alphas_cumprod`, (1000,) float32, is the share of the picture's variance that is left at each timestep. prediction: what a
    network on it answers, epsilon or v. Raises LdmError for another name.
    """
    from ldmcli.diffusion.schedule import BETA_SCHEDULES, make_schedule

    check(name in BETA_SCHEDULES, f"no schedule is called {name!r}.", f"Pass one of {', '.join(BETA_SCHEDULES)}.")
    check(prediction in ("epsilon", "v"), f"prediction {prediction!r}: epsilon or v.")
    return make_schedule(name, prediction)
