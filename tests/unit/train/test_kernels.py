"""The kernels of a run on a GPU, as far as torch tells of its choice without one."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from wellfit.config import recipe_from_dict
from wellfit.train.kernels import WORKSPACE, kernels


def _job(device: str, *, exact: bool = False, capability: tuple[int, ...] = (9, 0)) -> Any:
    train = {"budget": "1 step", "deterministic": exact}
    recipe = recipe_from_dict({"data.path": "x", "train": train})
    machine = SimpleNamespace(gpu_capability=capability)
    return SimpleNamespace(device=device, recipe=recipe, machine=machine)


def _order() -> list[str]:
    """Torch's own list of kernels it may take for attention, the first one first."""
    from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends

    found: list[SDPBackend] = _cur_sdpa_kernel_backends(with_priority=True)
    return [backend.name for backend in found]


def test_attention_is_tried_in_the_order_of_the_plan_and_put_back() -> None:
    before = _order()
    with kernels(_job("cuda")):
        assert _order() == ["CUDNN_ATTENTION", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH"]
    assert _order() == before
    with kernels(_job("cuda", capability=(8, 0))):
        assert _order() == ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH"]
    with kernels(_job("cpu")):
        # on a processor there is nothing to choose
        assert _order() == before


def test_a_deterministic_run_asks_torch_for_it_and_lets_go(monkeypatch) -> None:
    name, value = WORKSPACE.split("=")
    monkeypatch.delenv(name, raising=False)
    with kernels(_job("cuda", exact=True)):
        assert torch.are_deterministic_algorithms_enabled()
        # cuBLAS heeds it, and torch insists on it
        assert os.environ[name] == value
        assert "CUDNN_ATTENTION" not in _order()
    assert not torch.are_deterministic_algorithms_enabled()
    monkeypatch.setenv(name, ":16:8")
    with pytest.raises(ZeroDivisionError), kernels(_job("cuda", exact=True)):
        # the user's own choice, which is as good
        assert os.environ[name] == ":16:8"
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()
    with kernels(_job("cpu", exact=True)):
        assert not torch.are_deterministic_algorithms_enabled()
