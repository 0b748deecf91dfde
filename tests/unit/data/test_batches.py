"""Rows for training and blocks for evaluation, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import stream
from wellfit import objectives
from wellfit.data import IGNORE, StreamFeed, eval_blocks
from wellfit.errors import DataError


def test_ignore_is_the_number_that_losses_ignore():
    # written twice because `objectives` needs torch and reading data does not
    assert IGNORE == objectives.IGNORE


def test_a_row_is_a_stretch_of_the_stream_and_its_targets_are_one_further_on():
    rows = StreamFeed(stream(range(1000)), context=8).step(0, batch=16, seed=1)
    # inputs and, one further on, targets
    assert rows.inputs.shape == (16, 8) and rows.inputs.dtype == np.int64
    assert (np.diff(rows.inputs, axis=1) == 1).all()
    assert np.array_equal(rows.targets, rows.inputs + 1)


def test_rows_are_numbered_over_the_run():
    rows = StreamFeed(stream(range(1000)), context=8).step(3, batch=16, seed=1)
    # step 3 has rows 48 to 63, by which any random draw is keyed
    assert rows.samples.tolist() == list(range(48, 64))


def test_an_epoch_has_as_many_blocks_as_fit_beside_the_shift():
    # (1000 - 8) // 8 blocks, and a grid that may begin anywhere in 0..7
    assert StreamFeed(stream(range(1000)), context=8).n_rows == 124
    # 17 tokens: one block of 8 targets wherever the grid begins
    assert StreamFeed(stream(range(17)), context=8).n_rows == 1


@pytest.mark.parametrize("n_tokens", [9, 10, 15, 16, 17, 24, 25])
def test_the_smallest_splits_give_rows_that_lie_inside(n_tokens):
    split = stream(range(n_tokens))
    seen = {
        int(row[0])
        for s in range(200)
        for row in StreamFeed(split, context=8).step(0, batch=3, seed=s).inputs
    }
    # every row lies inside the stream, and over many seeds each place is used
    assert seen <= set(range(n_tokens - 8))
    assert seen == set(range(n_tokens - 8)) or n_tokens > 16


def test_a_split_shorter_than_a_row_says_what_to_write():
    # what there is, what is needed, what to change
    with pytest.raises(DataError, match=r"has 8 tokens, and one row takes 9 .*model.context=7"):
        StreamFeed(stream(range(8)), context=8).step(0, batch=1, seed=1)


def test_every_block_target_is_scored_once_and_in_order():
    blocks = eval_blocks(stream(range(100, 121)), context=8)
    rows = blocks.rows(0, len(blocks))
    # 20 targets in blocks of 8, 8 and 4: all tokens but the first, which has nothing before it
    assert blocks.counts.tolist() == [8, 8, 4] and blocks.n_targets == 20
    assert rows.targets[rows.targets != IGNORE].tolist() == list(range(101, 121))
    # inputs are one place before their targets; the last block is filled up
    assert rows.inputs[0].tolist() == list(range(100, 108))
    assert rows.inputs[2].tolist() == [116, 117, 118, 119, 0, 0, 0, 0]
    assert rows.targets[2].tolist() == [117, 118, 119, 120, *[IGNORE] * 4]


def test_fewer_targets_are_blocks_spread_evenly():
    split = stream(range(8 * 100 + 1))
    blocks = eval_blocks(split, context=8, max_targets=80)
    # ten of a hundred blocks: the middle of each tenth
    assert (blocks.starts // 8).tolist() == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    # the same ones each time, so that losses can be compared block by block
    again = eval_blocks(split, context=8, max_targets=80)
    assert np.array_equal(again.starts, blocks.starts)


def test_fewer_targets_are_never_fewer_than_a_block_nor_more_than_there_are():
    split = stream(range(801))
    # at least one
    assert len(eval_blocks(split, context=8, max_targets=1)) == 1
    # at most all
    assert eval_blocks(split, context=8, max_targets=10_000).n_targets == 800
    # a context longer than the split is one short block
    assert eval_blocks(split, context=5000).counts.tolist() == [800]


def test_blocks_know_their_documents():
    split = stream(range(25), doc_starts=[0, 4, 6, 20])
    blocks = eval_blocks(split, context=8)
    # the first targets are tokens 1, 9 and 17
    assert blocks.documents.tolist() == [0, 2, 2]
    # all four documents hold a target
    assert blocks.n_documents == 4


def test_only_documents_that_hold_a_target_are_counted():
    split = stream(range(33), doc_starts=[0, 1, 9, 12, 15, 20, 30])
    blocks = eval_blocks(split, context=4, max_targets=16)
    targets = np.concatenate(
        [np.arange(s + 1, s + c + 1) for s, c in zip(blocks.starts, blocks.counts, strict=True)]
    )
    # counted one by one
    assert blocks.n_documents == len(set(split.documents_at(targets).tolist()))


def test_the_bytes_of_targets_are_those_of_their_tokens():
    split = stream([0, 1, 2, 1, 2, 0])
    blocks = eval_blocks(split, context=4)
    # targets 1 2 1 2 0, of 3, 5, 3, 5 and 1 bytes; padding adds none
    assert blocks.n_bytes(np.array([1, 3, 5], dtype=np.int32), at_once=1) == 17


def test_a_split_of_one_token_has_nothing_to_score():
    # a loss of nothing is not zero
    with pytest.raises(DataError, match="first token of a stream is never a target"):
        eval_blocks(stream([5]), context=8)
