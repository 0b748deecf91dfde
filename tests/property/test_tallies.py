"""A loss is a sum and a count, so it does not matter how a batch is cut (decision 0001)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.objectives import IGNORE, Tally, token_loss

VOCAB = 7
NEVER = Tally(torch.zeros(()), torch.zeros((), dtype=torch.int64))


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Logits and targets of one batch, some targets ignored, and where to cut it."""
    n = draw(st.integers(2, 30))
    kept = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    seeded = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits_TV = torch.randn(n, VOCAB, generator=seeded)
    targets_T = torch.randint(VOCAB, (n,), generator=seeded)
    return (
        logits_TV,
        targets_T.masked_fill(~torch.tensor(kept), IGNORE),
        draw(st.integers(1, n - 1)),
    )


@settings(max_examples=30)
@given(batches())
def test_splitting_a_batch_changes_nothing(batch):
    logits_TV, targets_T, cut = batch
    whole = token_loss(logits_TV, targets_T)
    parts = [
        token_loss(logits_TV[part], targets_T[part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    joined = parts[0].joined(parts[1])
    # counts are exact
    assert int(joined.count) == int(whole.count) == int((targets_T != IGNORE).sum())
    # sums agree to float32 rounding of at most 30 terms
    torch.testing.assert_close(joined.total, whole.total, rtol=1e-5, atol=1e-5)


@settings(max_examples=30)
@given(batches())
def test_splitting_a_batch_does_not_change_the_gradient(batch):
    logits_TV, targets_T, cut = batch
    whole_TV, parts_TV = (logits_TV.clone().requires_grad_() for _ in range(2))
    token_loss(whole_TV, targets_T).total.backward()
    for part in (slice(None, cut), slice(cut, None)):
        token_loss(parts_TV[part], targets_T[part]).total.backward()
    # each row's gradient depends on that row alone, so it is the same to the last bit or nearly
    torch.testing.assert_close(parts_TV.grad, whole_TV.grad, rtol=1e-6, atol=1e-7)


@settings(max_examples=30)
@given(batches())
def test_nothing_joined_changes_nothing(batch):
    tally = token_loss(*batch[:2])
    joined = tally.joined(NEVER)
    # an empty tally is the zero of joining
    assert (joined.total, joined.count) == (tally.total, tally.count)


def test_the_mean_of_means_is_another_number():
    # two parts, of 1 and 3 targets: (1 + 9) / 4, and not (1 / 1 + 9 / 3) / 2
    parts = [Tally(torch.tensor(float(s)), torch.tensor(n)) for s, n in ((1, 1), (9, 3))]
    assert parts[0].joined(parts[1]).mean() == 2.5


def test_an_ignored_batch_has_no_mean():
    empty = token_loss(torch.zeros(2, VOCAB), torch.full((2,), IGNORE))
    # no targets is not a loss of zero
    with pytest.raises(ZeroDivisionError):
        empty.mean()
