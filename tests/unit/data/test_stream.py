"""A split and its documents."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import stream


def test_gather_gives_a_row_for_each_start():
    rows = stream(range(20)).gather(np.array([3, 0, 16]), 4)
    # in the order asked for
    assert rows.tolist() == [[3, 4, 5, 6], [0, 1, 2, 3], [16, 17, 18, 19]]


@pytest.mark.parametrize("start", [-1, 17])
def test_a_row_that_would_leave_the_stream_is_refused(start):
    # numpy would wrap a negative start around without a word
    with pytest.raises(ValueError, match="leave the 20 tokens of train"):
        stream(range(20)).gather(np.array([start]), 4)


def test_a_place_lies_in_the_document_that_began_last():
    split = stream(range(10), doc_starts=[0, 4, 5])
    # a document begins with its own first token
    assert split.documents_at(np.array([0, 3, 4, 5, 9])).tolist() == [0, 0, 1, 2, 2]
