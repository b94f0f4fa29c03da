"""The denoising loop of a traced picture, written out as a program of fifteen lines or so that draws that picture again."""

import inspect
from dataclasses import dataclass

from ldmcli.diffusion.solver import METHODS
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.engine.trace.recording import Recording
from ldmcli.runtime.device import Runtime

HEAD = """import torch

from ldmcli.diffusion.guidance import rescale
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.session import open_session
from ldmcli.outputs.images import to_pillow
from ldmcli.models.source import find_model
from ldmcli.runtime.device import select_runtime, set_threads

set_threads()
torch.set_grad_enabled(False)
"""


@dataclass(frozen=True)
class Line:
    """One line of the program, and what there is to say about it in this run."""

    code: str
    note: str = ""


def loop_lines(model: str, job: Job, settings: SamplingSettings, runtime: Runtime, record: Recording, session: Session) -> list[Line]:
    """The program without its imports (HEAD). model: as it was typed after -m."""
    assert record.context is not None and record.solver is not None and record.picture is not None
    solver, calls, config = record.solver, record.calls, job.config
    shape, states = record.shapes["noise"][1:], tuple(record.context.states.shape)
    device = "" if runtime.device.type == "cpu" else f".to({str(runtime.device)!r})"
    step_noise = f", StepNoise([{job.seed}], {shape})" if solver.stochastic else ""
    first, last = calls[0], calls[-1]
    reading = f", weighting={config.weighting!r}" * (config.weighting != "none") + ", long=True" * config.long_prompts
    names = ("vae", "tokenizer", "loras", "prediction", "variant", "allow_pickle")
    options = "".join(f", {name}={value!r}" for name in names if (value := getattr(config, name)))
    own_vae = "" if config.vae_dtype == "auto" else f", vae_dtype={settings.vae_dtype!r}"
    return [
        Line(f"session = open_session(find_model({model!r}{options}), "
             f"select_runtime({str(runtime.device)!r}, {runtime.dtype_name!r}){own_vae})",
             f"{sum(p.numel() for p in session.unet.parameters()):,} numbers in the U-Net"),
        Line(f"solver = make_solver({solver.name!r}, session.schedule, {settings.steps}, "
             f"spacing={solver.settings['spacing']!r}, sigma_clip={config.sigma_clip})",
             f"t = {first.t:.0f} … {last.t:.0f}, sigma = {first.sigma:.4g} … {last.sigma:.4g}"),
        Line(f"context = session.encode_prompts([{job.prompt!r}], [{config.negative_prompt!r}], guided={any(settings.guided)}{reading})",
             f"{states}: a vector per token"),
        Line(f"walk = solver.walk(noise_for([{job.seed}], {shape}){device}{step_noise})", "x_T: nothing but noise"),
        Line("call, latents = next(walk), None", f"|x_t| = {_norms(record, 'x')}"),
        Line("while call:", f"{len(calls)} times"),
        *unet_call_lines(job, settings, runtime, record),
        Line("    try:"),
        Line("        call = walk.send(answer)", "the solver, below, goes on to the next t"),
        Line("    except StopIteration as end:"),
        Line("        call, latents = None, end.value", "x_0: the finished latents"),
        Line(f"picture = session.decode(latents{', tiled=True' * settings.tiled})",
             f"{tuple(record.picture.shape)}: latents / {session.codec.scaling_factor:.4g} through the VAE"),
        Line("to_pillow(picture)[0].save('again.png')", f"{settings.width} x {settings.height} pixels"),
    ]  # fmt: skip


def unet_call_lines(job: Job, settings: SamplingSettings, runtime: Runtime, record: Recording) -> list[Line]:
    """How the loop asks the U-Net: for both prompts, for one, or for both at some of the calls."""
    at = [index for index, guided in enumerate(settings.guided) if guided]  # neighbours: t only falls
    half = runtime.dtype_name != "fp32"
    cast = f".to(torch.{str(runtime.dtype).removeprefix('torch.')})" if half else ""
    back = ".float()" if half else ""
    on_device = "" if runtime.device.type == "cpu" else f", device={str(runtime.device)!r}"
    mixed = f"uncond + {settings.cfg:g} * (cond - uncond)"
    answer = f"rescale({mixed}, cond, {job.config.cfg_rescale:g})" if job.config.cfg_rescale > 0 else mixed
    if not at:
        return [
            Line(f"    x, t = call.model_input{cast}, torch.full((1,), call.timestep{on_device})"),
            Line(f"    answer = session.unet(x, t, context){back}", f"|answer| = {_norms(record, 'cond')}"),
        ]
    uncond, delta = f"|uncond| = {_norms(record, 'uncond')}", f"|cond - uncond| = {_norms(record, 'delta')}"
    if len(at) < len(record.calls):
        during = f"range({at[0]}, {at[0] + sum(settings.guided_somehow)})"
        anew, guided = (f"{during}[::{settings.cfg_reuse}]", f"call.index in {during}") if settings.reused else (during, "n == 2")
        return [
            Line(f"    n, text = (2, context) if call.index in {anew} else (1, context.second_half())",
                 f"guided at {len(at)} of {len(record.calls)} calls"
                 f"{f', at {sum(settings.reused)} by the direction of one before' if settings.reused else ''}"),
            Line(f"    x, t = call.model_input.repeat(n, 1, 1, 1){cast}, torch.full((n,), call.timestep{on_device})",
                 "the same x_t for both prompts, or for one"),
            Line(f"    uncond, cond = session.unet(x, t, text){back}[[0, -1]].chunk(2)", uncond),
            *(reuse_lines(during) if settings.reused else ()),
            Line(f"    answer = {answer} if {guided} else cond", delta),
        ]  # fmt: skip
    return [
        Line(f"    x, t = call.model_input.repeat(2, 1, 1, 1){cast}, torch.full((2,), call.timestep{on_device})",
             "the same x_t for both prompts"),
        Line(f"    uncond, cond = session.unet(x, t, context){back}.chunk(2)", uncond),
        Line(f"    answer = {answer}", delta),
    ]  # fmt: skip


def reuse_lines(during: str) -> list[Line]:
    """What --cfg-reuse adds. during: the calls that are guided."""
    return [
        Line("    if n == 2:"),
        Line(
            "        direction = (cond - uncond) * solver.noise_shares[call.index]",
            "of the predicted noise, kept for the calls that follow",
        ),
        Line(f"    elif call.index in {during}:"),
        Line("        uncond = cond - direction / solver.noise_shares[call.index]", "not evaluated here"),
    ]


def _norms(record: Recording, name: str) -> str:
    """Length of a tensor at the first call that has it and at the last."""
    norms = [call.norms[name] for call in record.calls if call.norms[name] is not None]
    return f"{norms[0] or 0:.1f} at first, {norms[-1] or 0:.1f} at last"


def program(lines: list[Line]) -> str:
    """HEAD and the lines, ready to run."""
    return "\n".join([HEAD, *(line.code for line in lines), ""])


def solver_source(record: Recording) -> tuple[str, str]:
    """(the solver's own code, the file it stands in); for one that diffusers walks, the adapter's."""
    assert record.solver is not None
    method = METHODS.get(record.solver.row.method)
    if method is None:
        from ldmcli.diffusion.adapter import foreign as method  # type: ignore[no-redef]
    assert method is not None
    return inspect.getsource(method).rstrip(), method.__module__.replace(".", "/") + ".py"
