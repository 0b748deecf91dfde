"""Batches are pure functions, and an epoch sees everything once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.corpora import stream
from wellfit.data import IGNORE, StreamFeed, eval_blocks

CONTEXTS = st.integers(1, 12)
SEEDS = st.integers(0, 2**31)


def starts(split, *, n_rows, seed, batch, context):
    """Where each of the first rows begins: tokens are their own places in these streams."""
    steps = range(-(-n_rows // batch))
    feed = StreamFeed(split, context=context)
    rows = [feed.step(s, batch=batch, seed=seed) for s in steps]
    return np.concatenate([r.inputs[:, 0] for r in rows])[:n_rows]


@given(n_tokens=st.integers(30, 200), context=CONTEXTS, seed=SEEDS, batch=st.integers(5, 40))
def test_each_epoch_visits_each_block_once(n_tokens, context, seed, batch):
    split = stream(range(n_tokens))
    n_blocks = StreamFeed(split, context=context).n_rows
    found = starts(split, n_rows=3 * n_blocks, seed=seed, batch=batch, context=context)
    for epoch in np.split(found, 3):
        # blocks of a grid, none twice and none missing
        assert np.array_equal(np.sort(epoch) - epoch.min(), np.arange(n_blocks) * context)
        # a grid that begins within the first block
        assert epoch.min() < context


@given(seed=SEEDS, step=st.integers(0, 10**9), batch=st.integers(1, 33), world=st.integers(1, 8))
def test_a_batch_does_not_depend_on_how_many_ranks_share_it(seed, step, batch, world):
    split = stream(range(500))
    whole = StreamFeed(split, context=7).step(step, batch=batch, seed=seed)
    parts = [whole.rows_for_rank(rank, world) for rank in range(world)]
    # the ranks' rows, one after the other, are the batch
    assert np.array_equal(np.concatenate([p.inputs for p in parts]), whole.inputs)
    assert np.array_equal(np.concatenate([p.samples for p in parts]), whole.samples)
    # and no rank has more than one row more than another
    assert max(len(p.samples) for p in parts) - min(len(p.samples) for p in parts) <= 1


@given(seed=SEEDS, batch=st.integers(1, 12), at=st.integers(0, 8))
def test_rows_do_not_depend_on_how_they_are_grouped_into_batches(seed, batch, at):
    split = stream(range(300))
    in_ones = starts(split, n_rows=(at + 1) * batch, seed=seed, batch=1, context=5)
    rows = StreamFeed(split, context=5).step(at, batch=batch, seed=seed)
    # step `at` is reached without the steps before it, and is what they would have led to
    assert np.array_equal(rows.inputs[:, 0], in_ones[at * batch :])


@given(seeds=st.tuples(SEEDS, SEEDS).filter(lambda pair: pair[0] != pair[1]))
def test_another_seed_is_another_order(seeds):
    split = stream(range(2000))
    one, other = (StreamFeed(split, context=8).step(0, batch=32, seed=s) for s in seeds)
    # 32 rows agreeing by chance: never
    assert not np.array_equal(one.inputs, other.inputs)


@given(n_tokens=st.integers(2, 200), context=CONTEXTS, at_once=st.integers(1, 9))
def test_every_token_but_the_first_is_a_target_once(n_tokens, context, at_once):
    blocks = eval_blocks(stream(range(n_tokens)), context=context)
    parts = [blocks.rows(i, i + at_once) for i in range(0, len(blocks), at_once)]
    targets = np.concatenate([part.targets.ravel() for part in parts])
    inputs = np.concatenate([part.inputs.ravel() for part in parts])
    counted = targets != IGNORE
    # once each, in order, however many blocks are taken at a time
    assert targets[counted].tolist() == list(range(1, n_tokens))
    # and from the token before it
    assert np.array_equal(inputs[counted], targets[counted] - 1)


@given(n_tokens=st.integers(2, 300), context=CONTEXTS, max_targets=st.integers(1, 400))
def test_a_subset_of_blocks_is_distinct_and_about_as_large_as_asked(n_tokens, context, max_targets):
    split = stream(range(n_tokens))
    blocks = eval_blocks(split, context=context, max_targets=max_targets)
    whole = eval_blocks(split, context=context)
    # blocks of the whole, none twice
    assert set(blocks.starts.tolist()) <= set(whole.starts.tolist())
    assert len(set(blocks.starts.tolist())) == len(blocks)
    # no more targets than asked for, unless a single block has more
    assert blocks.n_targets <= max(max_targets, context)
