"""Guard against unpickling."""

from __future__ import annotations

import pickle

import pytest
import torch


@pytest.fixture
def no_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if anything is unpickled."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("an unpickler was called")

    for module, names in ((pickle, ("load", "loads", "Unpickler")), (torch, ("load",))):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
