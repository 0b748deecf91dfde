"""Which characters occur."""

from __future__ import annotations

from wellfit.data.characters import Characters


def test_characters_are_collected_and_sorted():
    seen = Characters("ba")
    seen.add("ac")
    seen.add("\U0010ffff\u00e9")
    # each once, in order of code point, up to the last there is
    assert seen.text() == "abc\u00e9\U0010ffff"


def test_sets_are_merged():
    seen, other = Characters("ab"), Characters("bc")
    seen.merge(other)
    # the one has both, the other what it had
    assert (seen.text(), other.text()) == ("abc", "bc")
