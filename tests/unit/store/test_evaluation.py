"""What one look at a split measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wellfit.store import Evaluation


def _evaluation(nats, counts, **more):
    values = {
        "step": 100, "split": "val", "basis": "full split", "checkpoint_step": 80,
        "nats": np.array(nats, dtype=np.float64), "counts": np.array(counts, dtype=np.int64),
        "n_bytes": 8, "n_documents": 2, "loss_lo": 1.0, "loss_hi": 3.0,
    }  # fmt: skip
    return Evaluation(**(values | more))


def test_the_loss_is_one_division_over_all_blocks():
    # a ragged last block weighs what it holds: (8 + 2) / (4 + 1), not (2 + 2) / 2 by luck
    assert _evaluation([8.0, 2.0], [4, 1]).loss == 2.0
    assert _evaluation([8.0, 6.0], [4, 1]).loss == pytest.approx(2.8)


def test_bits_per_byte_by_hand():
    e = _evaluation([8 * math.log(2), 0.0], [4, 1])
    # 8 bits spread over 8 bytes
    assert e.bits_per_byte == pytest.approx(1.0)
    # the interval is scaled the same way: 3 nats per target, 5 targets, 8 bytes
    assert e.as_dict()["ci95"]["bits_per_byte"][1] == pytest.approx(3.0 * 5 / (8 * math.log(2)))


def test_perplexity_by_hand():
    e = _evaluation([math.log(7) * 5, 0.0], [4, 1])
    # as unsure as among 7 equally likely tokens
    assert e.perplexity == pytest.approx(7.0)
    assert e.as_dict()["ci95"]["perplexity"] == pytest.approx([math.e, math.e**3])


@pytest.mark.parametrize(
    ("nats", "expected"), [(math.nan, math.nan), (math.inf, math.inf), (1e6, math.inf)]
)
def test_a_diverged_loss_is_reported_not_raised(nats, expected):
    # the record of a run that failed is the one people look at hardest
    assert _evaluation([nats], [1]).perplexity == pytest.approx(expected, nan_ok=True)


def test_an_empty_split_has_no_loss():
    e = _evaluation([], [], n_bytes=0)
    # nothing was measured, and nothing is divided by zero
    assert math.isnan(e.loss) and math.isnan(e.bits_per_byte)


def test_blocks_that_do_not_line_up_are_refused():
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        _evaluation([1.0, 2.0], [1, 1, 1])


def test_the_dict_has_the_keys_of_the_contract():
    # `wellfit eval --json` relies on these
    assert {
        "step", "split", "n_tokens", "n_bytes", "n_documents", "loss", "perplexity",
        "bits_per_byte", "ci95",
    } <= _evaluation([8.0], [4]).as_dict().keys()  # fmt: skip
