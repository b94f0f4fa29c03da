"""What tests of files of other machines share."""

import pytest

from ldmcli.runtime import remote


@pytest.fixture
def impatient(monkeypatch):
    """Pieces of 10,000 bytes, and a second in all."""
    monkeypatch.setattr(remote, "PIECE", 10_000)
    monkeypatch.setattr(remote, "PATIENCE_S", 1.0)
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(remote, "LONGEST_PAUSE_S", 0.1)
