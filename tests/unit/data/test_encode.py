"""Parts of documents to the tokens of their splits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import data_of, write_jsonl
from wellfit import config
from wellfit.data import find_sources
from wellfit.data.coding import coding, files_of
from wellfit.data.documents import scan
from wellfit.data.encode import Corpus, encode, parts_of
from wellfit.data.examples import form_of
from wellfit.data.shards import Shards, plain_files, split_file
from wellfit.data.split import assign
from wellfit.tokenizer import byte_tokenizer


@pytest.fixture
def corpus(tmp_path):
    """Three files of records, some of them blank, bad or copies; a tail split cuts one."""
    files = [["one", "two", " "], ["three", "one", "five"], ["a six and more", "seven"]]
    for i, texts in enumerate(files):
        write_jsonl(tmp_path / f"corpus/{i}.jsonl", *({"text": text} for text in texts), {"n": 1})
    data = data_of(tmp_path / "corpus", split={"kind": "tail", "val": 0.4}, on_bad="skip")
    sources = find_sources(data)
    (tmp_path / "work").mkdir()
    table = scan(sources, data, tmp_path / "work", lambda _: None, characters=False)
    return Corpus(sources, data, table, assign(table, data))


def found(corpus, position=0):
    parts = parts_of(corpus, lambda _: None, position=position)
    return [
        (part.position, part.split, part.piece.text, part.begins, part.piece.ends) for part in parts
    ]


def test_parts_say_where_they_stand_and_whose_they_are(corpus):
    # 37 characters; train is the first 22: 3, 3, 5, 3, 4 and 4 of 14
    assert found(corpus) == [
        (0, "train", "one", True, True),
        (3, "train", "two", True, True),
        (6, "train", "three", True, True),
        (11, "train", "one", True, True),
        (14, "train", "five", True, True),
        (18, "train", "a si", True, False),
        (22, "val", "x and more", True, True),
        (32, "val", "seven", True, True),
    ]


def test_reading_goes_on_from_any_place_without_what_came_before(corpus):
    whole = found(corpus)
    for at, (position, *_) in enumerate(whole):
        # whatever file it is in, past what is blank or bad, and within a document that is cut
        assert found(corpus, position) == whole[at:]


def test_encoding_gives_the_same_files_from_any_commit(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.encode._STRETCH_CHARS", 4)
    tokenizer = byte_tokenizer(separate=True)

    def run(folder, stop_after):
        folder.mkdir(exist_ok=True)
        with Shards(folder, ["train", "val"], plain_files(tokenizer.dtype)) as shards:
            commits = 0
            real = shards.commit

            def commit(position):
                nonlocal commits
                real(position)
                commits += 1
                if commits == stop_after:
                    raise KeyboardInterrupt

            shards.commit = commit
            encode(corpus, tokenizer, None, shards, lambda _: None, separate=True)
        kinds = ("tokens", "starts")
        return [split_file(folder, n, k).read_bytes() for n in ("train", "val") for k in kinds]

    whole = run(tmp_path / "whole", 0)
    commits = len((tmp_path / "whole" / "journal.jsonl").read_text().splitlines())
    # one of them within the document that is cut
    assert commits >= 5
    for stop in range(1, commits + 1):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / str(stop), stop)
        # interrupted after any commit and run again
        assert run(tmp_path / str(stop), 0) == whole
    ids = np.frombuffer(whole[0], dtype=np.uint16)
    # each complete document has its end; the one that is cut has none in train
    assert tokenizer.decode(ids).split("<|endoftext|>") == [
        "one",
        "two",
        "three",
        "one",
        "five",
        "a si",
    ]


def test_examples_give_the_same_files_from_any_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.encode._STRETCH_CHARS", 4)
    pairs = [("one", "1"), ("two", "2"), (" ", " "), ("three", "33"), ("one", "11"), ("six", "6")]
    records = ({"prompt": prompt, "completion": completion} for prompt, completion in pairs)
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    data = data_of(path, split={"kind": "tail", "val": 0.3}, on_bad="skip")
    sources, form = find_sources(data), form_of(config.Complete(), data, config.ByteTokenizer())
    (tmp_path / "work").mkdir()
    table = scan(sources, data, tmp_path / "work", lambda _: None, characters=False, form=form)
    corpus = Corpus(sources, data, table, assign(table, data, cuts_documents=False), form)
    tokenizer = byte_tokenizer(separate=True)
    how, files = coding(form, tokenizer, {}), files_of(form, tokenizer.dtype, {})

    def run(folder, stop_after):
        folder.mkdir(exist_ok=True)
        with Shards(folder, ["train", "val"], files) as shards:
            commits, real = [], shards.commit

            def commit(position):
                real(position)
                commits.append(position)
                if len(commits) == stop_after:
                    raise KeyboardInterrupt

            shards.commit = commit
            encode(corpus, tokenizer, how, shards, lambda _: None, separate=True)
        return {
            (n, k): split_file(folder, n, k).read_bytes() for n in ("train", "val") for k in files
        }

    whole = run(tmp_path / "whole", 0)
    commits = len((tmp_path / "whole" / "journal.jsonl").read_text().splitlines())
    assert commits >= 4
    for stop in range(1, commits + 1):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / str(stop), stop)
        # what was not vouched for may lie there half
        with split_file(tmp_path / str(stop), "train", "learned").open("ab") as torn:
            torn.write(b"\1")
        # interrupted after any commit and run again: tokens, what is learned, and the places
        assert run(tmp_path / str(stop), 0) == whole
    learned = np.frombuffer(whole["train", "learned"], dtype=np.bool_)
    assert learned.sum() == len("1 2 33 11".replace(" ", "")) + 4
