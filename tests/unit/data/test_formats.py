"""What one document is, in each format of lines."""

from __future__ import annotations

import pytest

from tests.corpora import data_of, read, write, write_jsonl
from wellfit.data import find_sources
from wellfit.data.formats import PIECE_CHARS, pieces_of
from wellfit.errors import DataError
from wellfit.tokenizer import bpe_tokenizer


def raised(path, **fields):
    with pytest.raises(DataError) as caught:
        read(path, **fields)
    return str(caught.value)


def pieces(path, **fields):
    data = data_of(path, **fields)
    return list(pieces_of(find_sources(data).files[0], data, lambda _: None))


def test_a_file_of_text_is_one_document_exactly_as_it_is(tmp_path):
    text = "\n\n one\x0btwo\u2028three\u0085 \n\n"
    # no strip, no splitting at other scripts' line ends
    assert read(write(tmp_path / "a.txt", text)) == [text]


def test_lines_are_split_at_newlines_alone(tmp_path):
    path = write(tmp_path / "a.txt", "one\x0btwo\u2028three\u0085four\nfive\r\n six \n")
    # str.splitlines would make five of the first
    assert read(path, document="line") == ["one\x0btwo\u2028three\u0085four", "five", " six "]


def test_the_last_line_may_lack_its_newline(tmp_path):
    # with or without, the same lines
    for text in ("one\ntwo", "one\ntwo\n"):
        assert read(write(tmp_path / "a.txt", text), document="line") == ["one", "two"]


def test_paragraphs_lie_between_blank_lines(tmp_path):
    path = write(tmp_path / "a.txt", "\n\none\none b\n \t \n\ntwo\n\n\n")
    # a line of white space is blank; the lines inside stay as they are
    assert read(path, document="paragraph") == ["one\none b", "two"]


def test_a_paragraph_that_is_too_long_is_told_and_can_be_skipped(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\n" + "two two\n" * 300 + "\nthree\n")
    # where it begins
    assert "a.txt:3: the record is longer" in raised(path, document="paragraph", max_line="1 kB")
    kept = read(path, document="paragraph", max_line="1 kB", on_bad="skip")
    assert kept == ["one", "BAD too long", "three"]


def test_json_lines_give_the_text_of_their_key(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "one\r\n\u00e9", "n": 1}, {"text": ""})
    # strings inside JSON are kept to the letter
    assert read(path) == ["one\r\n\u00e9", ""]


def test_blank_lines_between_json_lines_are_passed_over(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "one"}\r\n\n  \n{"text": "two"}')
    # files that were joined often have them
    assert read(path) == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        ("{'text': 1}", "not JSON", "a.jsonl:2: the line is not JSON (Expecting property name"),
        ("[" * 100_000, "not JSON", "a.jsonl:2: the line is not JSON"),
        ('["text"]', "not an object", 'not a JSON object such as {"text": "..."}'),
        ('{"body": "x", "id": 3}', "no key 'text'", "the keys are 'body', 'id'. Name one with"),
        ('{"text": null}', "no text", "there is nothing where the text of 'text' should be"),
        ('{"text": 3}', "no text", "there is int '3' where the text of 'text' should be"),
        ('{"text": "a\\u0000"}', "NUL", "a.jsonl:2: a NUL character"),
        ('{"text": "a\\ud800"}', "half a character", "(U+D800, a lone surrogate) at offset 1"),
    ],
)
def test_each_trouble_with_a_json_line_is_told_and_can_be_skipped(tmp_path, line, kind, says):
    path = write(tmp_path / "a.jsonl", '{"text": "one"}\n' + line + '\n{"text": "three"}\n')
    said = raised(path)
    # where, what, and the way to go on without it
    assert says in said and "data.on_bad=skip" in said
    assert read(path, on_bad="skip") == ["one", f"BAD {kind}", "three"]


def test_a_long_document_comes_in_pieces_that_make_it_up(tmp_path):
    text = "some words and more. " * 20_000
    for path in (
        write(tmp_path / "a.txt", text),
        write_jsonl(tmp_path / "b.jsonl", {"text": text}),
    ):
        parts = pieces(path)
        # nothing lost, nothing longer than a piece, and only the last one ends it
        assert "".join(part.text for part in parts) == text
        assert max(len(part.text) for part in parts) <= PIECE_CHARS
        assert [part.ends for part in parts] == [False] * (len(parts) - 1) + [True]


def test_pieces_do_not_depend_on_how_the_file_was_read(tmp_path):
    text = "some words and more. " * 100_000
    as_text = pieces(write(tmp_path / "a.txt", text))
    as_json = pieces(write_jsonl(tmp_path / "b.jsonl", {"text": text}))
    # one is read block by block, the other is whole from the start
    assert [part.text for part in as_text] == [part.text for part in as_json]


def test_cutting_a_document_into_pieces_changes_no_token(tmp_path):
    text = "it's 3 o'clock;  and\n\nall is well... \t(so far)\n" * 6000
    tokenizer = bpe_tokenizer([text[:5000]], vocab=400, separate=False)
    parts = [part.text for part in pieces(write(tmp_path / "a.txt", text))]
    # cuts fall before a space behind a letter, where GPT-2's pattern begins a word anyway
    assert len(parts) > 3
    whole = tokenizer.encode(text).tolist()
    assert [i for ids in tokenizer.encode_batch(parts) for i in ids.tolist()] == whole


def test_a_text_without_any_space_is_cut_all_the_same(tmp_path):
    text = "x" * (3 * PIECE_CHARS + 1)
    # at the full length, so memory stays bounded
    found = [len(part.text) for part in pieces(write(tmp_path / "a.txt", text))]
    assert found == [PIECE_CHARS] * 3 + [1]
