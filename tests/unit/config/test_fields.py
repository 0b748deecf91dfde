"""Each kind of value is read strictly and written back the same."""

from __future__ import annotations

import pytest

from wellfit.config import known
from wellfit.config.fields import (
    read_duration,
    read_fraction,
    read_size,
    read_span,
    show,
    write_percent,
    write_size,
)
from wellfit.units import Duration, parse_fraction


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (read_duration, "2k steps", Duration(2000, "steps")),
        (read_duration, Duration(1, "epochs"), Duration(1, "epochs")),
        (read_fraction, "5%", 0.05),
        (read_fraction, 0.05, 0.05),
        (read_fraction, 0, 0.0),
        (read_span, "2%", 0.02),
        (read_span, 0.02, 0.02),
        (read_span, 0, 0.0),
        (read_span, "100 steps", Duration(100, "steps")),
        (read_span, Duration(100, "steps"), Duration(100, "steps")),
        (read_size, "64 MB", 64_000_000),
    ],
)
def test_a_value_is_read_from_what_people_write(read, value, result):
    # worked by hand
    assert read(value) == result


@pytest.mark.parametrize(
    ("read", "value", "complaint"),
    [
        (read_duration, 5000, "5000 has no unit.*write for example 5000 steps"),
        (read_duration, "5000", "has no unit"),
        (read_duration, True, "true is not a duration"),
        (read_duration, None, "null is not a duration"),
        (read_fraction, True, "true is not a fraction"),
        (read_fraction, 5, "not between 0 and 1"),
        (read_fraction, "100%", "the whole of it"),
        (read_span, 100, "write for example 2%, 0.02 or 100 steps"),
        (read_span, 1, "neither a share of the run nor a duration"),
        (read_span, "soon", "or a share of the run such as 2%"),
        (read_span, [1], "neither a share of the run nor a duration"),
        (read_size, 64, "has no unit"),
        (read_size, "64", "is not a size"),
        (read_size, "0 B", "no room at all"),
    ],
)
def test_what_could_mean_two_things_is_refused(read, value, complaint):
    # with what to write instead
    with pytest.raises(ValueError, match=complaint):
        read(value)


@pytest.mark.parametrize("n_bytes", [1, 999, 1000, 64_000_000, 2**20, 2**30 + 1, 10**12, 12_345])
def test_a_size_is_written_exactly(n_bytes):
    # a resumed run reads what the first one wrote
    assert read_size(write_size(n_bytes)) == n_bytes


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.05, "5%"), (0.1, "10%"), (0.025, "2.5%"), (1e-5, "0.001%")]
)
def test_a_share_is_written_in_percent(fraction, text):
    # short where it is short, and exact always
    assert write_percent(fraction) == text
    assert parse_fraction(text) == fraction


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3e-4, "3e-4"),
        (1.5e-5, "1.5e-5"),
        (0.02, "0.02"),
        ("x", "'x'"),
        ({"a": 1}, "a mapping"),
        ([1, "a"], "[1, 'a']"),
        ("x" * 100, "'" + "x" * 56 + "..."),
    ],
)
def test_a_value_is_shown_as_it_may_have_been_typed(value, text):
    # in YAML's words rather than Python's, and never a screenful
    assert show(value) == text


def test_known_is_the_value_unless_it_is_still_automatic():
    assert known(3) == 3
    # reaching a formula with "auto" is our bug, not the user's
    with pytest.raises(AssertionError, match="automatic"):
        known("auto")
