"""What a shape costs, against a case worked by hand."""

from __future__ import annotations

import dataclasses

import pytest

from tests.tiny_models import SHAPES
from wellfit.model import Decoder, Shape

SMALL = Shape(
    family="llama",
    vocab=10,
    depth=2,
    width=8,
    heads=4,
    kv_heads=2,
    head_dim=2,
    context=16,
    mlp_width=12,
    mlp="swiglu",
)


def test_matrix_parameters_of_a_case_worked_by_hand():
    # q 8x8, k 4x8, v 4x8, o 8x8 are 192; gate, up and down of 8x12 are 288; head 10x8 is 80
    assert SMALL.matmul_parameters == 2 * (192 + 288) + 80
    # without a gate the MLP has two matrices, 192
    assert dataclasses.replace(SMALL, mlp="gelu").matmul_parameters == 2 * (192 + 192) + 80


@pytest.mark.parametrize("name", SHAPES)
def test_matrix_parameters_are_those_of_the_model(name):
    decoder = Decoder(SHAPES[name])
    matrices = [p for n, p in decoder.named_parameters() if p.ndim == 2 and "positions" not in n]
    lookup = 0 if SHAPES[name].tied else decoder.embed.weight.numel()
    # every matrix but the lookup; a tied one works as the head too
    assert sum(p.numel() for p in matrices) - lookup == SHAPES[name].matmul_parameters
