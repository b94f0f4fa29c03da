"""The batch script for SLURM, with shell commands of the same names in SLURM's place: what is tested is the script."""

import os
import signal
import sys
from pathlib import Path

import pytest
from forks import ended
from launch import ENVIRONMENT, free_port
from running import Running, finished

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from children import ldm_together  # noqa: E402
from runs import log_of, newest, steps_logged, wait_for  # noqa: E402
from tiny import make_coco  # noqa: E402

pytestmark = pytest.mark.early
SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm" / "train.sbatch"

SRUN = """#!/usr/bin/env bash
for number in 0 1; do SLURM_PROCID=$number SLURM_LOCALID=$number "$@" & started+=($!); done
echo "${started[@]}" > $PLACE/pids
for pid in "${started[@]}"; do wait $pid; code=$?; done
exit $code
"""
SCANCEL = """#!/usr/bin/env bash
echo "$@" >> $PLACE/said
kill -TERM $(cat $PLACE/pids)
"""
SCONTROL = """#!/usr/bin/env bash
[[ $1 == show ]] && echo 127.0.0.1 || echo "$@" >> $PLACE/said
"""
NOTING = """#!/usr/bin/env bash
printf '%s\\n' "$RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT" "$@" > $PLACE/started-$RANK
"""
"""An `ldm` that only says how it was started."""


@pytest.fixture
def slurm(tmp_path):
    """The environment of a job of two tasks on this machine."""
    place = tmp_path / "slurm"
    place.mkdir()
    ldm = f'#!/usr/bin/env bash\nexec {sys.executable} -m ldmcli "$@"\n'
    for name, text in {"srun": SRUN, "scancel": SCANCEL, "scontrol": SCONTROL, "ldm": ldm}.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    job = {"SLURM_JOB_ID": str(free_port() - 20000), "SLURM_JOB_NODELIST": "here", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    return {**ENVIRONMENT, **job, "PLACE": str(place), "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}


def test_a_job_that_is_told_to_end_saves_goes_back_into_the_queue_and_goes_on(slurm, tmp_path):
    coco, run, said = make_coco(tmp_path / "coco"), tmp_path / "run", tmp_path / "slurm" / "said"
    network = ["--size", "32", "--channels", "8,8,16,16", "--layers", "1", "--batch-size", "4", "--device", "cpu", "--log-every", "1"]
    command = ["bash", str(SCRIPT), "train-vae", "--data", str(coco), "-o", str(run), *network, "--max-steps"]
    with Running([*command, "1000000"], env=slurm) as job:
        wait_for(lambda: steps_logged(run) >= 2, job)
        job.send_signal(signal.SIGTERM)
        code, _, talk = job.ended()
    assert code == 143, talk
    assert said.read_text().splitlines() == [f"--signal=TERM {slurm['SLURM_JOB_ID']}", f"requeue {slurm['SLURM_JOB_ID']}"]
    step = newest(run).step
    assert step == log_of(run)[-1]["step"]

    (tmp_path / "slurm" / "ldm").write_text(NOTING)
    again = finished([*command, str(step + 2)], env=slurm)
    assert again.returncode == 0 and len(said.read_text().splitlines()) == 2, again.stderr  # not requeued once it is finished
    places, commands = [], []
    for number in range(2):
        place, *words = (tmp_path / "slurm" / f"started-{number}").read_text().splitlines()
        places.append(place)
        commands.append(words)
    port = 20000 + int(slurm["SLURM_JOB_ID"])
    assert places == [f"{number} of 2 at 127.0.0.1:{port}" for number in range(2)]
    (code, _, talk), (other_code, *_) = ended(ldm_together(commands, tmp_path))
    assert (code, other_code) == (0, 0) and f"resumed step-{step:06d}" in talk, talk
    assert newest(run).step == step + 2
