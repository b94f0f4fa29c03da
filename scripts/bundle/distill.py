"""Few steps: a student of a trained U-Net by consistency distillation in latent space, guidance baked in (Luo et al. 2023, algorithm 1).

    python scripts/bundle/distill.py --data DIR --model FOLDER --latents FILE -o RUN [--cfg 3 --steps 1500]

Two neighbours on the teacher's guided path must lead to one clean picture. Writes RUN/model, to be drawn with as `--scheduler lcm --steps 4
--cfg 1`. The paper's boundary functions c_skip and c_out are 0 and 1 within 1e-5 from the first timestep on, so the student's answer is its
clean latents as they are, and at the end of the path the latents themselves.
"""

import argparse
import copy
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from picture_latents import kept_latents
from resume_point import ResumePoint, add_options, go_on, keep
from torch import Tensor
from vocabulary import LENGTH

from ldmcli.diffusion.guidance import guide
from ldmcli.diffusion.objective import add_noise, predicted_noise, predicted_x0
from ldmcli.diffusion.schedule import NoiseSchedule, schedule_from_file
from ldmcli.models.layout import read_json
from ldmcli.models.loading import load_text_encoder, load_unet
from ldmcli.models.saving import save_component
from ldmcli.models.tokenizer import load_tokenizer
from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.runtime.memory import keep_freed_memory

PATH_STEPS = 50
"""Of the path of DDIM whose neighbours are compared: 20 timesteps apart."""
TARGET_DECAY = 0.95
"""The target's weights are an average of the student's."""
HUBER = 1e-3
"""Where the distance turns from squared to absolute."""
PEAK, WARMUP, BATCH = 2e-4, 50, 64
"""Learning rate after so many steps, and pictures of a step."""

# B pictures, C latent channels, h w latent size


def signal_noise_of(schedule: NoiseSchedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) of t (B,), (B, 1, 1, 1) each; of t below 0 those of a clean picture."""
    alpha_bar = torch.where(t < 0, 1.0, schedule.alphas_cumprod[t.clamp(min=0)]).float().view(-1, 1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def guided_neighbour(teacher: Any, schedule: NoiseSchedule, noisy: Tensor, t: Tensor, said: Tensor, nothing: Tensor, cfg: float) -> Tensor:
    """One step of DDIM (Song et al. 2021, eq. 12, eta 0) from t to the next timestep of the path.

    noisy: (B, C, h, w); t: (B,); said, nothing: (B, L, D) states of the captions and of the empty one. Returns (B, C, h, w).
    """
    answers = teacher(noisy.repeat(2, 1, 1, 1), t.repeat(2), TextContext(torch.cat([nothing, said]))).float()
    without, with_text = answers.chunk(2)
    answer = guide(without, with_text, cfg)
    signal, sigma = signal_noise_of(schedule, t)
    clean, noise = (known(schedule.prediction, noisy, answer, signal, sigma) for known in (predicted_x0, predicted_noise))  # type: ignore[arg-type]
    signal, sigma = signal_noise_of(schedule, t - schedule.num_timesteps // PATH_STEPS)
    return signal * clean + sigma * noise


def clean_answer(network: Any, schedule: NoiseSchedule, noisy: Tensor, t: Tensor, said: Tensor) -> Tensor:
    """The clean latents that a student says, (B, C, h, w); of t below 0 what it is given."""
    answer = network(noisy, t.clamp(min=0), TextContext(said)).float()
    signal, sigma = signal_noise_of(schedule, t)
    return torch.where(t.view(-1, 1, 1, 1) < 0, noisy, predicted_x0(schedule.prediction, noisy, answer, signal, sigma))  # type: ignore[arg-type]


def consistency_loss(
    student: Any, target: Any, schedule: NoiseSchedule, noisy: Tensor, neighbour: Tensor, t: Tensor, said: Tensor
) -> Tensor:
    """Pseudo-Huber distance of the student's picture at t and the target's at the neighbour (Song & Dhariwal 2023), value by value.

    noisy, neighbour: (B, C, h, w); t: (B,) of noisy; said: (B, L, D). Returns a scalar.
    """
    with torch.no_grad():
        wanted = clean_answer(target, schedule, neighbour, t - schedule.num_timesteps // PATH_STEPS, said)
    away = clean_answer(student, schedule, noisy, t, said) - wanted
    return (away.square() + HUBER**2).sqrt().sub(HUBER).mean()


class Shown:
    """Draws batches: latents of pictures, and the states of one of their captions."""

    def __init__(self, data: Path, model: Path, latents: Path) -> None:
        notes = json.loads((data / "annotations/captions_train2017.json").read_text())
        self.files = [image["file_name"] for image in notes["images"]]
        said: dict[int, list[str]] = {image["id"]: [] for image in notes["images"]}
        for row in notes["annotations"]:
            said[row["image_id"]].append(row["caption"])
        self.captions = list(said.values())
        self.numbers = {name: number for number, name in enumerate(dict.fromkeys(self.files))}
        self.latents = kept_latents([data / "train2017" / name for name in self.numbers], model, latents)
        self.text: CLIPText = load_text_encoder(model).eval()
        self.tokenizer = load_tokenizer(model / "tokenizer", LENGTH)
        self.rng = random.Random(0)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """(size, C, h, w) and (size, L, D)."""
        rows = self.rng.choices(range(len(self.files)), k=size)
        shown = self.latents[[self.numbers[self.files[row]] for row in rows]].float()
        return shown, self.states([self.rng.choice(self.captions[row]) for row in rows])

    @torch.no_grad()
    def states(self, captions: list[str]) -> Tensor:
        """(B, L, D) of B captions."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.text(torch.stack([self.tokenizer.encode(one).ids for one in captions])).float()


def step_loss(student: Any, target: Any, teacher: Any, schedule: NoiseSchedule, drawn: Shown, nothing: Tensor, cfg: float) -> Tensor:
    """Of one batch. nothing: (1, L, D) states of the empty caption."""
    latents, said = drawn.batch(BATCH)
    stride = schedule.num_timesteps // PATH_STEPS
    t = torch.randint(1, PATH_STEPS + 1, (BATCH,)) * stride - 1
    noisy = add_noise(schedule, latents, torch.randn_like(latents), t)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            neighbour = guided_neighbour(teacher, schedule, noisy, t, said, nothing.expand_as(said), cfg)
        return consistency_loss(student, target, schedule, noisy, neighbour, t, said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="the teacher's folder")
    parser.add_argument("--latents", type=Path, required=True, help="of the pictures; made where it is not there")
    parser.add_argument("--cfg", type=float, default=3.0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    add_options(parser, steps=1500)
    args = parser.parse_args()

    keep_freed_memory(for_training=True)
    torch.manual_seed(0)
    drawn = Shown(args.data, args.model, args.latents)
    schedule = schedule_from_file(read_json(args.model / "scheduler" / "scheduler_config.json"))
    teacher = load_unet(args.model).eval().requires_grad_(False)
    student = copy.deepcopy(teacher).train().requires_grad_(True)
    target, nothing = copy.deepcopy(teacher), drawn.states([""])
    optimizer = torch.optim.AdamW(student.parameters(), lr=PEAK, weight_decay=0.0, fused=True)
    point, learning = ResumePoint(args.output, args.max_minutes), {"student": student, "target": target, "optimizer": optimizer}
    for step in range(go_on(point, learning, drawn.rng), args.steps):
        optimizer.param_groups[0]["lr"] = PEAK * min((step + 1) / WARMUP, 1) * 0.5 * (1 + math.cos(math.pi * step / args.steps))
        loss = step_loss(student, target, teacher, schedule, drawn, nothing, args.cfg)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(target.parameters()), list(student.parameters()), 1 - TARGET_DECAY)
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.4f}", flush=True)
        if point.is_due():
            keep(point, step + 1, learning, drawn.rng)
    shutil.copytree(args.model, args.output / "model", dirs_exist_ok=True)
    save_component(args.output / "model", "unet", target.config, target.state_dict())
    print(f"saved {args.output / 'model'} after {args.steps} steps")


if __name__ == "__main__":
    main()
