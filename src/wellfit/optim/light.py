"""Torch's optimizers without what loads torch's compiler: a second of every start."""

from __future__ import annotations

import inspect
from typing import TypeVar, cast

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def light(kind: type[Kind]) -> type[Kind]:
    """The same optimizer, whose methods are not wrapped to be left alone by the compiler.

    Torch's wrappers import all of ``torch._dynamo`` at the first call.  They are for those who
    compile a step of an optimizer, which is not done here.
    """
    own = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    own["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast(type[Kind], type(kind.__name__, (kind,), own))
