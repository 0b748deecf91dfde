"""Examples made to fit a context, packed into rows, and laid out as blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpora import examples_in_memory as examples
from wellfit.data import IGNORE, eval_blocks
from wellfit.data.batches import ExampleFeed
from wellfit.data.fitting import fit_examples, pack
from wellfit.errors import DataError

SIZES = st.lists(st.integers(2, 20), min_size=1, max_size=60)


def feed(split, *, context=20, long="error", packed=True):
    return ExampleFeed(split, context=context, long=long, packed=packed)


def pairs(rows):
    """Every (input, target) that counts, with the segment it is in."""
    counted = rows.targets != IGNORE
    return list(zip(rows.inputs[counted].tolist(), rows.targets[counted].tolist(), strict=True))


def test_two_examples_in_a_row_by_hand():
    split = examples([4, 3], learned=[2, 1])  # tokens 1 2 3 4 and 5 6 7
    rows = feed(split, context=6).step(0, batch=1, seed=1)
    # inputs are all but the last token of each; targets only those that are learned
    first = rows.inputs[0, 0]
    assert sorted(rows.inputs[0].tolist()) == [0, 1, 2, 3, 5, 6]
    assert sorted(pairs(rows)) == [(2, 3), (3, 4), (6, 7)]
    wanted = [0, 0, 0, 1, 1, -1] if first == 1 else [0, 0, 1, 1, 1, -1]
    # each example has a number of its own in the row, padding none
    assert rows.segments.tolist() == [wanted]


@given(sizes=SIZES, seed=st.integers(0, 99), packed=st.booleans())
def test_an_epoch_has_every_target_once(sizes, seed, packed):
    learned = [max(1, n // 2) for n in sizes]
    one = feed(examples(sizes, learned=learned), packed=packed)
    rows = one.step(0, batch=one.n_rows, seed=seed)
    found = sorted(pairs(rows))
    # targets follow their input in the same example, none twice, none missing
    assert all(b == a + 1 for a, b in found)
    assert len(set(found)) == len(found) == one.n_targets
    assert one.n_targets == sum(min(k, n - 1) for n, k in zip(sizes, learned, strict=True))


@given(sizes=SIZES, context=st.integers(20, 64))
def test_no_row_holds_more_than_the_context_and_no_example_is_lost(sizes, context):
    inputs = np.array(sizes, dtype=np.int64)
    members, borders = pack(inputs, context=context, key=("a",))
    assert sorted(members.tolist()) == list(range(len(sizes)))
    assert np.add.reduceat(inputs[members], borders[:-1]).max() <= context


def test_packing_fills_rows():
    rng = np.random.default_rng(1)
    sizes = rng.integers(5, 60, 2000)
    _, borders = pack(sizes, context=256, key=("a",))
    # at least 97% of the places are used, and one example a row would use an eighth
    assert sizes.sum() / ((len(borders) - 1) * 256) > 0.97


def test_what_does_not_fit_is_an_error_that_names_examples_and_what_to_type():
    split = examples([5, 30, 40], learned=[2, 2, 2])
    wanted = r"2 of 3 examples .* longest has 40; example 1, example 2\).*data.long=cut.*context=40"
    with pytest.raises(DataError, match=wanted):
        fit_examples(split, context=20, long="error")


def test_cutting_keeps_what_is_learned_and_is_counted():
    split = examples([5, 30], learned=[2, 2])
    fitted = fit_examples(split, context=10, long="cut")
    # the last 11 tokens of the long one: 10 inputs
    assert (fitted.starts.tolist(), fitted.inputs.tolist()) == ([0, 24], [4, 10])
    assert fitted.cut.tolist() == [1]
    # a labelled text keeps its beginning
    fitted = fit_examples(examples([5, 30], labels=np.zeros((2, 1))), context=10, long="cut")
    assert (fitted.starts.tolist(), fitted.inputs.tolist()) == ([0, 5], [5, 10])


def test_dropping_leaves_out_and_is_counted():
    fitted = fit_examples(examples([5, 30], learned=[2, 2]), context=10, long="drop")
    assert (fitted.numbers.tolist(), fitted.dropped.tolist()) == ([0], [1])


def test_an_example_without_a_target_is_left_out_and_all_of_them_are_an_error():
    fitted = fit_examples(examples([5, 6], learned=[0, 2]), context=10, long="error")
    assert (fitted.numbers.tolist(), fitted.unlearned.tolist()) == ([1], [0])
    with pytest.raises(DataError, match="no example of train is left"):
        fit_examples(examples([5, 6], learned=[0, 0]), context=10, long="error")


def test_labelled_rows_have_their_text_its_length_and_its_labels():
    labels = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
    rows = feed(examples([3, 5, 17], labels=labels)).step(0, batch=3, seed=1)
    for tokens, length, label in zip(rows.inputs, rows.lengths, rows.labels, strict=True):
        # 3, 5 and 17 tokens from 1, 4 and 9 on
        assert int(length) == [3, 5, 17][int(label[0])]
        assert tokens[:length].tolist() == list(range(tokens[0], tokens[0] + length))
        assert (tokens[length:] == 0).all()
    # never longer than the context
    assert rows.inputs.shape == (3, 20)
    wide = feed(examples([3, 5, 17], labels=labels), context=64).step(0, batch=3, seed=1)
    # else as long as the longest, up to a multiple of 16
    assert wide.inputs.shape == (3, 32)


@given(sizes=SIZES)
def test_blocks_of_examples_score_every_target_once(sizes):
    split = examples(sizes, learned=[1] * len(sizes))
    blocks = eval_blocks(split, context=20)
    found = [pair for rows in blocks.batches(64) for pair in pairs(rows)]
    # the last token of each, and every example a block of its own
    assert sorted(b for _, b in found) == np.cumsum(sizes).tolist()
    assert blocks.n_targets == len(blocks) == blocks.n_documents == len(sizes)
    # neighbours are alike in length
    assert (np.diff(blocks.inputs) >= 0).all()


def test_a_subset_of_examples_is_spread_over_the_split():
    split = examples([3] * 100, learned=[2] * 100)
    blocks = eval_blocks(split, context=20, max_targets=20)
    assert blocks.documents.tolist() == list(range(5, 100, 10))
