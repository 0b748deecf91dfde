"""Durations, fractions, sizes and rates as people write them."""

from __future__ import annotations

import pytest

from wellfit.units import (
    Duration,
    format_bytes,
    format_count,
    format_span,
    parse_bytes,
    parse_duration,
    parse_fraction,
    per_second,
)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("1 step", 1, "steps"),
        ("2k steps", 2_000, "steps"),
        ("1.5B tokens", 1_500_000_000, "tokens"),
        ("2,000,000 tokens", 2_000_000, "tokens"),
        ("3 epochs", 3, "epochs"),
        ("0.5 epochs", 0.5, "epochs"),
        (".5 hours", 1800, "seconds"),
        ("10 minutes", 600, "seconds"),
        ("90 s", 90, "seconds"),
        ("2 days", 172_800, "seconds"),
        (" 7 Steps ", 7, "steps"),
        ("10min", 600, "seconds"),
        ("2h", 7200, "seconds"),
        ("1e9 tokens", 1_000_000_000, "tokens"),
        ("1.1B tokens", 1_100_000_000, "tokens"),  # whole, though 1.1 * 1e9 in floats is not
        ("10M tokens", 10_000_000, "tokens"),
        ("2 k steps", 2_000, "steps"),
    ],
)
def test_durations_are_read_as_written(text, amount, unit):
    # the unit asked for is kept; only the scale is worked out
    assert parse_duration(text) == Duration(amount, unit)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2000", "is not a duration"),  # steps or seconds?
        ("soon", "is not a duration"),
        ("-3 steps", "is not a duration"),
        ("3 fortnights", "is not a unit"),
        ("0 steps", "above zero"),
        ("1.5 steps", "not a whole number of steps"),
        ("0.3 tokens", "not a whole number of tokens"),
        ("10 m", "minutes or millions"),
        ("3ms", "is not a unit"),  # neither milliseconds nor three million seconds
        ("5 mintues", "did you mean minutes"),
        ("1,5 minutes", "is not a duration"),  # a decimal comma, not fifteen
        ("2 d ays", "is not a unit"),
        ("1e999 tokens", "never ends"),
        ("1e300 steps", "never ends"),
    ],
)
def test_what_is_not_a_duration_is_refused(text, complaint):
    # a guess would cost a training run
    with pytest.raises(ValueError, match=complaint):
        parse_duration(text)


@pytest.mark.parametrize(
    "duration",
    [
        Duration(1234567.5, "seconds"),
        Duration(0.1234567, "epochs"),
        Duration(1e-7, "epochs"),
        Duration(123456789, "tokens"),
        Duration(1, "seconds"),
    ],
)
def test_a_printed_duration_is_the_same_number(duration):
    # a resumed run reads what the first one wrote
    assert parse_duration(str(duration)) == duration


@pytest.mark.parametrize("text", ["2000 steps", "1 epoch", "10 minutes", "2 hours", "90 seconds"])
def test_a_printed_duration_can_be_typed_again(text):
    # and looks like what people type
    assert str(parse_duration(text)) == text


@pytest.mark.parametrize(("value", "frac"), [("5%", 0.05), ("0.05", 0.05), (0.05, 0.05), (1, 1.0)])
def test_fractions_have_two_spellings(value, frac):
    # 5% and 0.05 are one value
    assert parse_fraction(value) == pytest.approx(frac, rel=1e-15)  # 5 / 100 is rounded once


@pytest.mark.parametrize("value", ["5", "105%", "-1%", "five", 1.5, "nan"])
def test_what_is_not_a_fraction_is_refused(value):
    # a 5 is far more often 5% than 500%, and we do not guess
    with pytest.raises(ValueError, match="is not"):
        parse_fraction(value)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("64 MB", 64_000_000),
        ("64 MiB", 67_108_864),
        ("7", 7),
        ("7 B", 7),
        ("1.5k", 1500),
        ("1,000 kB", 1_000_000),
    ],
)
def test_sizes_are_decimal_unless_they_say_binary(text, n_bytes):
    # SI: k, M, G are powers of 1000; Ki, Mi, Gi of 1024
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["much", "-1 MB", "3 MB/s", "", "64i", "1e999 TB"])
def test_what_is_not_a_size_is_refused(text):
    # the message shows how to write one
    with pytest.raises(ValueError, match="64 MB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (format_bytes(1_234_000_000), "1.23 GB"),
        (format_bytes(12), "12 B"),
        (format_bytes(999_999), "1 MB"),
        (format_bytes(999.7), "1 kB"),
        (format_bytes(2.5e15), "2500 TB"),
        (format_count(-5e6), "-5M"),
        (format_count(3e15), "3000T"),
        (format_count(1_840_000), "1.84M"),
        (format_count(999_700), "1M"),
        (format_count(12), "12"),
        (format_span(3.25), "3.2 s"),
        (format_span(59.4), "59 s"),
        (format_span(185), "3 min 05 s"),
        (format_span(8_040), "2 h 14 min"),
        (format_span(273_600), "3 d 4 h"),
    ],
)
def test_numbers_are_shown_in_three_figures_and_a_unit(shown, wanted):
    # short enough for a table, exact enough to compare
    assert shown == wanted


def test_a_rate_of_no_time_is_zero():
    # the first line of a run is printed before any time has passed
    assert per_second(100, 0.0) == 0.0
    # and otherwise it is the plain quotient
    assert per_second(100, 4.0) == 25.0
