"""ldm: the command line for latent diffusion, and the same from Python.

    pipe = ldmcli.load("bundled")
    pipe("a dog", seed=1).save("dog.png")

What `__all__` names, and what these have in their docstrings, is all that is public; everything else may change from one version to the
next. Importing this package imports no torch and changes nothing in the process: see `load` for what it does about threads.
"""

TYPE_CHECKING = False  # as in typing, which the command line cannot wait for: nothing stands before its handlers of signals
if TYPE_CHECKING:
    from ldmcli.api.load import load as load
    from ldmcli.api.names import schedule as schedule
    from ldmcli.api.names import schedulers as schedulers
    from ldmcli.api.picture import Picture as Picture
    from ldmcli.api.pipeline import Pipeline as Pipeline
    from ldmcli.api.step import Step as Step
    from ldmcli.diffusion.schedule import NoiseSchedule as NoiseSchedule
    from ldmcli.errors import LdmError as LdmError

__version__ = "0.2.0"

__all__ = ["LdmError", "NoiseSchedule", "Picture", "Pipeline", "Step", "__version__", "load", "schedule", "schedulers"]

_WHERE = {
    "LdmError": "errors",
    "NoiseSchedule": "diffusion.schedule",
    "Picture": "api.picture",
    "Pipeline": "api.pipeline",
    "Step": "api.step",
    "load": "api.load",
    "schedule": "api.names",
    "schedulers": "api.names",
}
"""Module of each name that is imported when it is first asked for."""


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
        value: object = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
