"""How long threads wait for each other: what is decided, and that it stands in the environment before torch is imported."""

import json
import os
import subprocess
import sys

import pytest

from ldmcli.data.decoders import Decoders
from ldmcli.runtime.cpu_load import Load
from ldmcli.runtime.threads import BLOCKTIME_MS, SPINS_BUSY, SPINS_IDLE, cores, wait_briefly, waiting

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
GNU, INTEL = {"GOMP_SPINCOUNT": str(SPINS_BUSY)}, {"KMP_BLOCKTIME": str(BLOCKTIME_MS)}


@pytest.mark.parametrize(
    ("environment", "added"),
    [
        ({}, {**GNU, **INTEL}),
        ({"OMP_NUM_THREADS": "2", "PATH": "/bin"}, {**GNU, **INTEL}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {}),
        ({"OMP_WAIT_POLICY": "passive"}, {}),
        ({"GOMP_SPINCOUNT": "300000"}, INTEL),
        ({"KMP_BLOCKTIME": "0"}, GNU),
        ({"GOMP_SPINCOUNT": "infinity", "KMP_BLOCKTIME": "200"}, {}),
        ({"GOMP_SPINCOUNT": ""}, INTEL),
    ],
)
def test_what_the_user_set_stays_and_the_rest_is_added(environment, added):
    before = dict(environment)
    assert waiting(environment) == added and environment == before


def test_the_cores_are_those_of_this_process():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, mine)
    assert cores() == len(mine)


WATCH = """
import json, os, sys

class AtTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            print(json.dumps(dict(os.environ)), flush=True)
            if {further}:
                import torch
            os._exit(0)

sys.meta_path.insert(0, AtTorch())
from ldmcli.runtime import threads
from ldmcli.runtime.cpu_load import Load
looks = iter({looks})
threads.load_now = lambda at: next(looks)
sys.argv = ["ldm", "generate", "a dog", "-o", "never.png"]
"""
AT_FIRST = Load(at=5.0, busy=3.0, idle=10.0, own=0.2, cores=2)
LOOKS = {
    "idle": (AT_FIRST, Load(at=6.0, busy=3.9, idle=11.1, own=1.0, cores=2)),
    "busy": (AT_FIRST, Load(at=6.0, busy=4.8, idle=10.2, own=1.0, cores=2)),
    "unknown": (None, None),
}
"""Beside 0.1, 1 and nobody knows how many cores of others."""
STARTS = {
    "python -m ldmcli": "import runpy; runpy.run_module('ldmcli', run_name='__main__', alter_sys=True)",
    "ldm": "from importlib.metadata import entry_points; [script] = entry_points(group='console_scripts', name='ldm'); script.load()()",
}


def at_torch(start, folder, machine, *, further=False, **variables):
    """(environment when torch is about to be imported, what was said on stderr). further: and then torch is really imported."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", WATCH.format(further=further, looks=LOOKS[machine]) + STARTS[start]]
    done = subprocess.run(command, env=environment | variables, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(("start", "machine"), [("ldm", "idle"), ("ldm", "unknown"), ("python -m ldmcli", "busy")])
def test_a_fresh_process_has_the_variables_before_torch_is_imported(start, machine, tmp_path):
    found, _ = at_torch(start, tmp_path, machine)
    expected = {**GNU, **INTEL} | ({"GOMP_SPINCOUNT": str(SPINS_IDLE)} if machine == "idle" else {})
    assert {name: found[name] for name in NAMES if name in found} == expected


@pytest.mark.parametrize("own", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": str(SPINS_BUSY), "KMP_BLOCKTIME": "0"}])
def test_a_fresh_process_leaves_what_the_user_set(own, tmp_path):
    found, _ = at_torch("ldm", tmp_path, "idle", **own)
    assert {name: found[name] for name in NAMES if name in found} == own


def test_openmp_itself_has_read_them(tmp_path):
    _, said = at_torch("python -m ldmcli", tmp_path, "idle", further=True, OMP_DISPLAY_ENV="VERBOSE")
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("torch brings another OpenMP here")
    assert f"GOMP_SPINCOUNT = '{SPINS_IDLE}'" in said


@pytest.mark.parametrize("own", [{}, {"GOMP_SPINCOUNT": "77"}])
def test_a_process_that_reads_pictures_has_them_from_its_start(monkeypatch, own):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    with Decoders(1) as decoders:
        found = [decoders._running().submit(os.getenv, name).result(timeout=300) for name in NAMES]
    assert found == [None, *{**GNU, **INTEL, **own}.values()]
