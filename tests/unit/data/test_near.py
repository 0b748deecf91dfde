"""Near copies of documents, against similarities counted out by hand."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest

from tests.conftest import SEED
from tests.corpora import data_of, examples, prepared, spelled, write, write_jsonl
from wellfit import config
from wellfit.data import near
from wellfit.data.near import SLOTS, _runs, band_width
from wellfit.errors import DataError, MissingExtra

pytest.importorskip("rensa")

END = "<|endoftext|>"
BY_COLUMN = {"kind": "column", "column": "split", "val": "val", "test": "test"}
NEAR = {"similarity": 0.8, "words": 5}


def runs_of(text, words):
    """The distinct runs of words of a text of plain words, by hand."""
    found = text.lower().split()
    return {tuple(found[i : i + words]) for i in range(len(found) - words + 1)}


def similarity(a, b):
    return len(a & b) / len(a | b) if a | b else 0.0


def some_words(chance, n):
    return ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 8))) for _ in range(n)]


def planted(n, seed=SEED):
    """Documents of 30 to 300 words, and a copy of each with up to a quarter of them changed."""
    chance = random.Random(seed)
    words = some_words(chance, 3000)
    originals = [" ".join(chance.choices(words, k=chance.randint(30, 300))) for _ in range(n)]
    copies = []
    for text in originals:
        changed = text.split()
        for _ in range(int(len(changed) * chance.choice([0, 0.01, 0.02, 0.05, 0.1, 0.25]))):
            changed[chance.randrange(len(changed))] = chance.choice(words)
        copies.append(" ".join(changed))
    mixed = originals + copies
    chance.shuffle(mixed)
    return mixed


def left_by_hand(texts, wanted):
    """The texts that stay when each is compared with all that stay before it."""
    stay, where = [], {}
    for text in texts:
        runs = runs_of(text, wanted["words"])
        others = {i for run in runs for i in where.get(run, ())}
        if any(
            similarity(runs, runs_of(stay[i], wanted["words"])) >= wanted["similarity"]
            for i in others
        ):
            continue
        for run in runs:
            where.setdefault(run, []).append(len(stay))
        stay.append(text)
    return stay


def rows(made):
    return {name: [t.removesuffix(END) for t in spelled(made, name)] for name in made.splits}


@pytest.mark.parametrize(
    "wanted", [NEAR, {"similarity": 0.5, "words": 3}, {"similarity": 0.9, "words": 2}]
)
def test_near_copies_are_those_that_counting_finds(tmp_path, wanted):
    texts = planted(500)
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": text} for text in texts))
    made = prepared(path, tmp_path / "cache", near_duplicates=wanted)
    kept = sorted(text for found in rows(made).values() for text in found)
    gone, expected = set(texts) - set(kept), set(texts) - set(left_by_hand(texts, wanted))
    assert len(expected) > 125
    right = len(gone & expected)
    # the measure of the field's own comparisons: at least 0.95, of copies of every likeness
    assert 2 * right / (len(gone) + len(expected)) >= 0.95
    # and the audit counts what is gone, exact copies among it
    audit = made.audit["near_duplicates"]
    assert sum(audit["left_out"].values()) == len(texts) - len(kept)


def test_what_is_far_from_the_border_is_always_right(tmp_path):
    chance = random.Random(SEED)
    words = some_words(chance, 3000)
    texts = [" ".join(chance.choices(words, k=400)) for _ in range(300)]
    likes = [" ".join([*text.split()[:-8], "quite", "another"]) for text in texts[:100]]
    apart = [" ".join([*text.split()[:200], *chance.choices(words, k=200)]) for text in texts[100:]]
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": t} for t in [*texts, *likes, *apart]))
    made = prepared(path, tmp_path / "cache", near_duplicates={})
    kept = {text for found in rows(made).values() for text in found}
    # 0.98 is near and 0.33 is not, ten deviations of the estimate away from 0.8
    assert kept == {*texts, *apart}


def test_a_pair_is_told_with_both_places_and_its_similarity(tmp_path):
    words = [f"word{i}" for i in range(100)]
    other = ["word", *words[1:]]
    path = write(tmp_path / "a.txt", f"{' '.join(words)}\n\nnothing\n\n{' '.join(other)}\n")
    split = {"kind": "tail", "val": 0.5}
    made = prepared(path, tmp_path / "c", document="paragraph", split=split, near_duplicates=NEAR)
    (pair,) = made.audit["near_duplicates"]["pairs"]
    # val has the other, so that train loses the first
    assert (pair["left_out"], pair["kept"]) == (f"{path}:1", f"{path}:5")
    # 95 of 97 runs are shared; four deviations
    assert abs(pair["similarity"] - 95 / 97) < 4 * (0.02 * 0.98 / SLOTS) ** 0.5


def test_case_and_punctuation_make_no_difference_and_order_does(tmp_path):
    words = [f"w{i}" for i in range(50)]
    texts = [" ".join(words), ", ".join(words).upper() + "!", " ".join(reversed(words))]
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": t, "split": "train"} for t in texts))
    with path.open("a") as file:
        file.write('{"text": "something else", "split": "val"}\n')
    split = {**BY_COLUMN, "test": None}
    made = prepared(path, tmp_path / "cache", split=split, near_duplicates=NEAR)
    # the second is the first in other letters; backwards it is another text
    assert rows(made)["train"] == [texts[0], texts[2]]


def test_a_text_shorter_than_a_run_is_near_to_exact_copies_alone(tmp_path):
    texts = ["one two", "one two", "One two", "!!!", "???", "five six"]
    records = [{"text": t, "split": "train"} for t in texts] + [{"text": "seven", "split": "val"}]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    split = {**BY_COLUMN, "test": None}
    made = prepared(path, tmp_path / "cache", split=split, near_duplicates={"words": 3})
    # one of the two that are equal
    assert rows(made)["train"] == ["one two", "One two", "!!!", "???", "five six"]


def variants(text, n):
    """Near copies: each with one word more at its end."""
    return [text, *(f"{text} end{i}" for i in range(n))]


LONG = " ".join(f"some{i}" for i in range(60))
OTHER = " ".join(f"thing{i}" for i in range(60))


def test_copies_leave_the_side_that_is_learned_from(tmp_path):
    a, b = variants(LONG, 5), variants(OTHER, 3)
    placed = [(a[0], "train"), (a[1], "val"), (a[2], "test"), (a[3], "test"), (a[4], "val")]
    placed += [(b[0], "train"), (b[1], "val"), (b[2], "val"), (b[3], "train")]
    placed += [("x y z u v w", "train"), ("p q r s t u", "train"), ("p q r s t u!", "train")]
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": t, "split": s} for t, s in placed))
    made = prepared(path, tmp_path / "cache", split=BY_COLUMN, near_duplicates=NEAR)
    # test stays as it was given; val loses what test has, train what either has, and its own
    assert rows(made) == {
        "train": ["x y z u v w", "p q r s t u"],
        "val": [b[1], b[2]],
        "test": [a[2], a[3]],
    }
    assert made.audit["near_duplicates"]["left_out"] == {"train": 4, "val": 2}


def test_a_hash_split_divides_no_near_copies(tmp_path):
    chance = random.Random(SEED)
    words = some_words(chance, 3000)
    texts = [" ".join(chance.choices(words, k=60)) for _ in range(300)]
    spread = [variants(text, 9) for text in texts]
    records = [{"text": group[i]} for i in range(10) for group in spread]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    made = prepared(path, tmp_path / "cache", near_duplicates=NEAR)
    found = rows(made)
    # of each group the first is all that there is
    assert sorted(t for name in found for t in found[name]) == sorted(texts)
    # and not one of the ten that happened to be in val or test: 6% of groups, not 40%
    assert len(found["train"]) > 240


def test_near_copies_of_files_that_are_the_test_split_leave_the_others(tmp_path):
    a, b = variants(LONG, 3), variants(OTHER, 200)
    write_jsonl(tmp_path / "a.jsonl", *({"text": t} for t in [a[0], *b, *map(str, range(200))]))
    test = write_jsonl(tmp_path / "test.jsonl", {"text": a[1]}, {"text": a[2]})
    split = {"kind": "hash", "test_files": str(test)}
    made = prepared(tmp_path / "a.jsonl", tmp_path / "c", split=split, near_duplicates=NEAR)
    found = rows(made)
    # the test set is as it was given
    assert found["test"] == [a[1], a[2]]
    # nothing like it is anywhere else, and of the rest one stays
    assert [t for name in ("train", "val") for t in found[name] if len(t) > 5] == [b[0]]


def test_a_document_that_a_tail_split_cuts_stays(tmp_path):
    a = variants(LONG, 2)
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": t} for t in [a[0], OTHER, a[1], a[2]]))
    split = {"kind": "tail", "val": 0.4}
    made = prepared(path, tmp_path / "cache", split=split, near_duplicates=NEAR)
    found = rows(made)
    # the cut goes through the third; what is like it in train leaves, in val it stays
    assert found["train"][0] == OTHER and len(found["train"]) == 2
    assert found["train"][1] + found["val"][0] == a[1] and found["val"][1:] == [a[2]]


def test_of_examples_what_is_given_is_compared(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"prompt": LONG, "completion": "one", "split": "train"},
        {"prompt": LONG + " more", "completion": "quite another answer", "split": "train"},
        {"prompt": OTHER, "completion": "one", "split": "train"},
        {"prompt": "short", "completion": "one", "split": "val"},
    )
    split = {**BY_COLUMN, "test": None}
    task = config.Complete()
    made = examples(path, tmp_path / "cache", task, split=split, near_duplicates=NEAR)
    # a question asked twice is one question, whatever the answers
    assert made.splits["train"].n_documents == 2
    assert made.audit["near_duplicates"]["left_out"] == {"train": 1}


def test_a_split_of_nothing_but_near_copies_says_so(tmp_path):
    a = variants(LONG, 2)
    records = [{"text": a[0], "split": "train"}, {"text": a[1], "split": "val"}]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    # with what to type to go on all the same
    with pytest.raises(DataError, match=r"every document of train .*data.near_duplicates=null"):
        prepared(path, tmp_path / "cache", split={**BY_COLUMN, "test": None}, near_duplicates=NEAR)


def test_settings_decide_where_prepared_data_lies_and_off_is_as_before(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": t} for t in planted(60)))
    wanted = [None, {}, {"similarity": 0.7}, {"words": 4}, {}]
    folders = [prepared(path, tmp_path / "cache", near_duplicates=one).folder for one in wanted]
    # each setting its own, and the same twice the same
    assert len({*folders}) == 4 and folders[1] == folders[4]
    # the sketches themselves are gone
    assert not list((tmp_path / "cache").rglob("near.*"))


def test_nothing_hangs_on_how_many_documents_are_sketched_at_once(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": t} for t in planted(200)))
    made = prepared(path, tmp_path / "a", near_duplicates=NEAR)
    monkeypatch.setattr(near, "_BATCH_CHARS", 1000)
    monkeypatch.setattr(near, "_BATCHES", 2)
    again = prepared(path, tmp_path / "b", near_duplicates=NEAR)
    # the same tokens, byte for byte
    assert again.fingerprint == made.fingerprint
    assert again.audit["near_duplicates"] == made.audit["near_duplicates"]


def test_only_the_beginning_of_a_very_long_document_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(near, "_PIECES", 1)
    chance = random.Random(SEED)
    start = " ".join(some_words(chance, 30_000))
    ends = [" ".join(some_words(chance, 60_000)) for _ in range(2)]
    write(tmp_path / "a/1.txt", f"{start} {ends[0]}")
    write(tmp_path / "a/2.txt", f"{start} {ends[1]}")
    write(tmp_path / "val.txt", "other words")
    split = {"kind": "files", "val": str(tmp_path / "val.txt")}
    made = prepared(tmp_path / "a", tmp_path / "cache", split=split, near_duplicates=NEAR)
    # memory is bounded by what is compared of one document
    assert made.audit["near_duplicates"]["left_out"] == {"train": 1}


def test_the_library_that_is_missing_is_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    path = write(tmp_path / "a.txt", "some text")
    with pytest.raises(MissingExtra, match=r"data.near_duplicates needs 'rensa'.*wellfit\[data\]"):
        prepared(path, tmp_path / "cache", near_duplicates={})
    # nothing was begun
    assert not (tmp_path / "cache").exists()
    # and who does not ask for it does not need it
    prepared(path, tmp_path / "cache", split={"kind": "tail", "val": 0.5})


def test_near_copies_cannot_go_where_exact_ones_are_kept(tmp_path):
    with pytest.raises(
        ValueError, match="near copies are left out, and exact ones are the nearest"
    ):
        data_of(tmp_path, duplicates="keep", near_duplicates=NEAR)


@pytest.mark.parametrize(
    ("texts", "words", "n_runs"),
    [
        (["a b c d"], 2, [3]),
        (["a b", "c d e", "", "f"], 2, [1, 2, 0, 0]),
        (["one-two, THREE's"], 1, [4]),
        (["\u4e2d\u6587\u5b57 ab"], 2, [3]),  # Han: a word each
        ([" ", "\n\n"], 1, [0, 0]),
    ],
)
def test_runs_stay_inside_their_texts(texts, words, n_runs):
    runs, found = _runs(texts, words)
    # counted out by hand
    assert found.tolist() == n_runs and len(runs) == sum(n_runs)


def test_runs_are_equal_when_their_words_are():
    runs, _ = _runs(["the cat sat on the cat", "a the cat satin thecat"], 2)
    by_hand = ["the cat", "cat sat", "sat on", "on the", "the cat"]
    by_hand += ["a the", "the cat", "cat satin", "satin thecat"]
    same = runs[:, None] == runs
    # no more and no less
    assert np.array_equal(same, np.array([[a == b for b in by_hand] for a in by_hand]))


@pytest.mark.parametrize("similarity", [0.1, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_bands_find_what_is_just_near_enough(similarity):
    width = band_width(similarity)
    # a pair is compared when all slots of one band agree
    assert 1 - (1 - similarity**width) ** (SLOTS // width) >= 0.99
    # and as few pairs as that allows
    assert 1 - (1 - similarity ** (width + 1)) ** (SLOTS // (width + 1)) < 0.99 or width == 32
