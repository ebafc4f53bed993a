"""Guard against unpickling."""

from __future__ import annotations

import pickle

import pytest
import torch


@pytest.fixture
def no_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where anything is unpickled."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something is unpickled")

    for module, names in ((pickle, ("load", "loads", "Unpickler")), (torch, ("load",))):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
