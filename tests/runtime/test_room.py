"""Whether a disk takes what is going to be written."""

import os
import resource
import signal
from dataclasses import replace

import pytest
from forks import fork

from ldmcli.config.generation import GenerateConfig
from ldmcli.errors import LdmError
from ldmcli.outputs.output_plan import plan_outputs
from ldmcli.runtime.room import check_room


def test_where_there_is_room_nothing_is_left_behind(tmp_path):
    check_room(tmp_path / "not" / "there" / "yet", 10_000)
    assert os.listdir(tmp_path) == []


def test_more_than_is_free_is_refused_with_both_figures(tmp_path):
    with pytest.raises(LdmError, match=r"cannot write in .*: at least 1,000,000,000.0 MB are needed, and [\d,.]+ MB are free"):
        check_room(tmp_path, 10**15)


def test_a_disk_that_takes_nothing_is_told(tmp_path):
    def full() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        with pytest.raises(LdmError, match="cannot write in .*: File too large"):
            check_room(tmp_path / "out")
        return 0

    child = fork(full, tmp_path.parent / "talk")
    assert child.wait() == 0, child.said()
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LdmError, match="cannot write in .*file: File exists"):
        check_room(tmp_path / "file")


@pytest.mark.parametrize("some", [{"resume": True}, {"shard": "1/2"}])
def test_pictures_that_may_be_there_or_belong_elsewhere_take_no_room(tmp_path, some):
    config = GenerateConfig(output=f"{tmp_path}/out/")
    with pytest.raises(LdmError, match="MB are needed"):
        plan_outputs(config, 10**12)
    plan_outputs(replace(config, **some), 10**12)
