"""Which pictures a command asks for, in which order and with which seeds."""

from dataclasses import dataclass

from ldmcli.config import MAX_SEED, GenerateConfig, check


@dataclass(frozen=True)
class Job:
    """One picture to draw; `number` is its place in the whole command."""

    number: int
    prompt: str
    seed: int


def plan_jobs(config: GenerateConfig, seed: int) -> list[Job]:
    """Prompt by prompt; picture i of a prompt has seed + i. The same prompt given twice goes on counting."""
    jobs: list[Job] = []
    used: dict[str, int] = {}
    for prompt in config.prompts:
        for _ in range(config.num_images):
            offset = used.get(prompt, 0)
            used[prompt] = offset + 1
            check(seed + offset <= MAX_SEED, f"--seed {seed} with {offset + 1} pictures goes beyond 2**64 - 1.")
            jobs.append(Job(len(jobs), prompt, seed + offset))
    return jobs
