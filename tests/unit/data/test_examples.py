"""Records as the examples of a task: what is given, what is learned, and the labels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corpora import examples, learned, spelled, write, write_jsonl
from wellfit import config
from wellfit.config.task import Focal
from wellfit.data import Labels, find_sources, prepare
from wellfit.errors import DataError, TokenizerError
from wellfit.tokenizer import byte_tokenizer

END = "<|endoftext|>"
BY_COLUMN = {"kind": "column", "column": "s", "val": "val", "test": "test"}
CLASSIFY, REGRESS, COMPLETE = config.Classify(), config.Regress(), config.Complete()


def rows(path, *records):
    """Records of train, and a copy of each with another text in val."""
    val = [
        {k: f"{v}?" if k in ("text", "prompt", "q") else v for k, v in r.items()} for r in records
    ]
    both = [{"s": "train", **r} for r in records] + [{"s": "val", **r} for r in val]
    return write_jsonl(path / "a.jsonl", *both)


def made(path, task, *records, **fields):
    fields = {"split": {"kind": "column", "column": "s", "val": "val"}, **fields}
    return examples(rows(path, *records), path / "cache", task, **fields)


def raised(path, task, *records, **fields):
    with pytest.raises(DataError) as caught:
        made(path, task, *records, **fields)
    return str(caught.value)


def labelled(*labels):
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]


def test_a_completion_is_learned_with_its_end_and_the_prompt_is_not(tmp_path):
    records = [{"prompt": "2+2=", "completion": "4"}, {"prompt": "", "completion": "\u00e9 "}]
    found = learned(made(tmp_path, COMPLETE, *records), "train")
    # the first token has nothing before it to follow from
    assert found == [
        [("2+2=", False), (f"4{END}", True)],
        [("\ufffd", False), (f"\ufffd {END}", True)],
    ]


def test_the_prompt_is_learned_too_where_that_is_asked(tmp_path):
    task = config.Complete(prompt="{q} -> ", completion="{n}", learn="all")
    found = made(tmp_path, task, {"q": "two", "n": 2}, {"q": "three", "n": 3})
    assert learned(found, "train")[0] == [("t", False), (f"wo -> 2{END}", True)]


def test_prompt_and_completion_are_encoded_apart(tmp_path):
    records = [{"prompt": "the ca", "completion": "t sat"}] * 9 + [
        {"prompt": "a", "completion": "b"}
    ]
    bpe = config.BpeTokenizer(vocab=300)
    fields = {"split": {"kind": "tail", "val": 0.3}, "duplicates": "keep"}
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    found = examples(path, tmp_path / "cache", COMPLETE, bpe, **fields)
    split, tokenizer = found.splits["train"], found.tokenizer
    apart = [*tokenizer.encode("the ca"), *tokenizer.encode("t sat"), tokenizer.eos_id]
    # as the model meets the prompt when it is to write
    assert split.tokens[: split.doc_starts[1]].tolist() == apart


def test_the_places_of_examples_are_known(tmp_path):
    found = made(tmp_path, CLASSIFY, *labelled("b", "a"))
    # file and line
    assert found.splits["val"].places.tolist() == [[0, 3], [0, 4]]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "c", "a"], ("a", "b", "c")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        ([10, 9, 10], ("9", "10")),
        ([True, False], ("false", "true")),
        (["10", "9", "x"], ("10", "9", "x")),
    ],
)
def test_labels_are_numbered_in_order(tmp_path, labels, names):
    found = made(tmp_path, CLASSIFY, *labelled(*labels))
    # numbers as numbers, else by name
    assert found.labels == Labels(names)
    texts = [str(label).lower() if isinstance(label, bool) else str(label) for label in labels]
    numbers = found.splits["train"].labels
    assert [names[int(i)] for i in numbers[:, 0]] == texts and numbers.dtype == np.float32
    # each text with its end, for the label to be read from
    assert spelled(found, "train")[0] == f"text 0{END}"


@pytest.mark.parametrize(
    ("labels", "several"),
    [
        ([["a", "b"], [], ["b"]], True),
        (["a|b", "", "b"], True),
        (["b, a", " ", "b"], True),
        ([[1, 2], [], [2]], True),
    ],
)
def test_a_text_may_have_several_labels_or_none(tmp_path, labels, several):
    found = made(tmp_path, config.Classify(several=several), *labelled(*labels))
    # a list, or a text with | or , between them
    assert found.labels.several and len(found.labels.names) == 2
    assert found.splits["train"].labels.tolist() == [[1, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("label", "kind", "says"),
    [
        (None, "no label", "a.jsonl:2: there is nothing where the label ('label') should be"),
        ("", "no label", "there is nothing where the label"),
        (0.5, "no label", "there is float '0.5' where the label ('label') should be. For numbers:"),
        (["a"], "label is a list", "For several labels: task.several=true"),
    ],
)
def test_what_is_no_label_is_bad(tmp_path, label, kind, says):
    assert says in raised(tmp_path, CLASSIFY, *labelled("a", label, "b"))
    found = made(tmp_path, CLASSIFY, *labelled("a", label, "b"), on_bad="skip")
    assert found.audit["skipped"]["kinds"] == {kind: 2}
    assert found.audit["examples"]["labels"]["train"] == {"a": 1, "b": 1}


def test_a_label_that_train_lacks_is_an_error_that_names_it(tmp_path):
    records = [
        {"text": f"t{i}", "label": label, "s": s}
        for i, (label, s) in enumerate(
            [("a", "train"), ("b", "train"), ("z", "val"), ("a", "val"), ("y", "test")]
        )
    ]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    with pytest.raises(DataError, match=r"val has labels that train lacks.*: 'z' \(1\)\. Divide"):
        examples(path, tmp_path / "cache", CLASSIFY, split=BY_COLUMN)


def test_labels_of_records_that_are_left_out_are_no_labels(tmp_path):
    records = [*labelled("a", "b"), {"text": "other", "label": "z"}]
    path = write_jsonl(
        tmp_path / "a.jsonl",
        *({**r, "s": s} for r, s in zip(records, ("train", "train", "none"), strict=True)),
        {"text": "v", "label": "a", "s": "val"},
    )
    split = {"kind": "column", "column": "s", "val": "val", "train": "train"}
    assert examples(path, tmp_path / "cache", CLASSIFY, split=split).labels.names == ("a", "b")


def test_one_label_alone_is_nothing_to_learn(tmp_path):
    said = raised(tmp_path, CLASSIFY, *labelled("a", "a"))
    assert "two values or more in train to tell apart; it has 'a'" in said


def test_a_column_of_texts_is_not_taken_for_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.documents._MOST_LABELS", 3)
    said = raised(tmp_path, CLASSIFY, *labelled("a", "b", "c", "d"))
    assert "more than 3 different values" in said and "task.kind=regress" in said


def test_numbers_are_kept_in_their_units(tmp_path):
    task = config.Regress(targets=("x", "y"))
    records = [
        {"text": f"t{i}", "x": x, "y": y}
        for i, (x, y) in enumerate([(1, "-2.5"), (2.5, " 1e2 "), (4, ".5")])
    ]
    found = made(tmp_path, task, *records)
    # written as text too
    numbers = np.array([[1, -2.5], [2.5, 100], [4, 0.5]])
    assert found.splits["train"].labels.tolist() == numbers.tolist()
    # by the textbook, of train alone
    assert found.labels.names == ("x", "y")
    assert np.allclose(found.labels.means, numbers.mean(axis=0))
    assert np.allclose(found.labels.deviations, numbers.std(axis=0))


@pytest.mark.parametrize(
    "value", [None, "", "NaN", float("nan"), "1,5", "1_000", "0x10", True, [1]]
)
def test_what_is_no_number_is_bad(tmp_path, value):
    records = labelled(1, value, 2)
    said = raised(tmp_path, REGRESS, *records)
    assert "a.jsonl:2: there is" in said and "where the number 'label' should be" in said
    found = made(tmp_path, REGRESS, *records, on_bad="skip")
    assert found.audit["skipped"]["kinds"] == {"no number": 2}


def test_a_target_that_never_moves_is_an_error(tmp_path):
    assert "'label' is one number throughout train" in raised(tmp_path, REGRESS, *labelled(1, 1))


def test_an_empty_completion_is_bad(tmp_path):
    records = [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": " \n"}]
    assert "a.jsonl:2: the completion is empty. To leave" in raised(tmp_path, COMPLETE, *records)
    found = made(tmp_path, COMPLETE, *records, on_bad="skip")
    assert found.splits["train"].n_documents == 1


def test_bad_text_in_any_column_is_bad(tmp_path):
    for records, says in (
        ([{"prompt": "a\0", "completion": "b"}], "a NUL character"),
        ([{"prompt": "a", "completion": "b\ud800"}], "half a character"),
        ([{"prompt": 1, "completion": "b"}], "there is int '1' where the text of 'prompt'"),
        ([{"prompt": "a"}], "no key 'completion'; the keys are 's', 'prompt'"),
    ):
        assert says in raised(tmp_path, COMPLETE, *records)


def test_blank_texts_are_left_out_and_counted(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        *(
            {"text": t, "label": i % 2, "s": s}
            for s in ("train", "val")
            for i, t in enumerate([f"{s} one", f"{s} two", " "])
        ),
    )
    found = examples(path, tmp_path / "cache", CLASSIFY, split=BY_COLUMN | {"test": None})
    assert found.audit["skipped"]["empty"] == 2 and found.splits["train"].n_documents == 2


def test_plain_text_has_no_columns(tmp_path):
    path = write(tmp_path / "a.txt", "a text\n")
    with pytest.raises(DataError, match=r"plain text and has no columns.*'label' \(task.label\)"):
        examples(path, tmp_path / "cache", CLASSIFY)


def test_the_text_decides_the_split_whatever_its_label(tmp_path):
    records = [{"text": f"text {i % 50}", "label": i // 50} for i in range(100)]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    fields = {"split": {"kind": "hash", "val": 0.3, "test": 0.2}}
    found = examples(path, tmp_path / "cache", CLASSIFY, **fields)
    sides = [set(spelled(found, name)) for name in ("train", "val", "test")]
    # one text with two labels is on one side, and told
    assert not sides[0] & sides[1] and not sides[1] & sides[2] and not sides[0] & sides[2]
    audit = found.audit["examples"]["conflicts"]
    assert audit == {name: len(side) for name, side in zip(found.splits, sides, strict=True)}
    # and a language model of the same texts is divided in the same way
    plain = examples(path, tmp_path / "cache", config.LanguageModel(), **fields)
    assert [set(spelled(plain, name)) for name in plain.splits] == sides


def test_a_copy_with_another_label_still_leaves_train(tmp_path):
    records = [{"text": f"t{i}", "label": i % 2, "s": "train"} for i in range(4)]
    records += [{"text": "t0", "label": 1, "s": "val"}, {"text": "v", "label": 0, "s": "val"}]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    found = examples(path, tmp_path / "cache", CLASSIFY, split=BY_COLUMN | {"test": None})
    # the answer of val would be known, or spoilt
    assert found.audit["duplicates"]["across"]["train"] == 1
    assert spelled(found, "train") == [f"t{i}{END}" for i in (1, 2, 3)]


def test_an_example_is_never_cut_by_a_tail_split(tmp_path):
    records = [{"prompt": "p" * 10, "completion": str(i) * 90} for i in range(10)]
    path = write_jsonl(tmp_path / "a.jsonl", *records)
    found = examples(
        path, tmp_path / "c", COMPLETE, split={"kind": "tail", "val": 0.25}, duplicates="keep"
    )
    # cut at character 750, so the eighth goes where it begins
    assert [split.n_documents for split in found.splits.values()] == [8, 2]


def test_every_task_and_setting_has_a_folder_of_its_own(tmp_path):
    records = [
        {"text": f"t{i}", "label": i, "n": 2 - i, "prompt": "p", "completion": "c"} for i in (0, 1)
    ]
    tasks = [
        config.LanguageModel(),
        CLASSIFY,
        config.Classify(label="n"),
        config.Classify(several=True),
        REGRESS,
        config.Regress(targets="n"),
        COMPLETE,
        config.Complete(learn="all"),
        config.Complete(prompt="text"),
    ]
    fields = {"duplicates": "keep", "split": {"kind": "column", "column": "s", "val": "val"}}
    folders = {made(tmp_path, task, *records, **fields).folder for task in tasks}
    assert len(folders) == len(tasks)
    # but what is minimised moves no token
    loss = config.Classify(loss=Focal(), pool="mean")
    assert made(tmp_path, loss, *records, **fields).folder in folders


def test_what_was_prepared_is_opened_the_next_time(tmp_path, monkeypatch):
    for task in (CLASSIFY, config.Classify(several=True), REGRESS, COMPLETE):
        records = [{**r, "prompt": r["text"], "completion": "c"} for r in labelled(1, 2)]
        first = made(tmp_path, task, *records)
        with monkeypatch.context() as patch:
            patch.setattr("wellfit.data.prepared._make", None)
            second = made(tmp_path, task, *records)
        # the same in every respect
        assert second.labels == first.labels and second.audit == first.audit
        for name, split in first.splits.items():
            for kind in ("tokens", "doc_starts", "learned", "labels", "places"):
                assert np.array_equal(getattr(split, kind), getattr(second.splits[name], kind))


def test_the_fingerprint_is_of_the_labels_too(tmp_path):
    one = made(tmp_path / "one", CLASSIFY, *labelled("a", "b", "a"))
    other = made(tmp_path / "other", CLASSIFY, *labelled("a", "b", "b"))
    # the tokens are the same, and what is trained is not
    assert one.fingerprint != other.fingerprint


def test_a_finished_model_keeps_its_labels(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", *labelled("b", "c", "b"))
    tokenizer, known = byte_tokenizer(separate=True), Labels(("a", "b", "c"))
    data = config.Data(path=str(path))
    found = prepare(data, tokenizer, task=CLASSIFY, labels=known, cache=tmp_path / "c")
    # its own numbers, also of a label that is not there
    assert found.labels == known and found.splits["test"].labels[:, 0].tolist() == [1, 2, 1]
    assert found.audit["examples"]["labels"]["test"] == {"a": 0, "b": 2, "c": 1}
    with pytest.raises(DataError, match=r"a.jsonl:2: the model has no label 'c'; its labels are"):
        prepare(data, tokenizer, task=CLASSIFY, labels=Labels(("a", "b")), cache=tmp_path / "c")
    numbers = Labels(("label",), False, (3.0,), (2.0,))
    path = write_jsonl(tmp_path / "b.jsonl", *labelled(1, 5))
    found = prepare(
        config.Data(path=str(path)), tokenizer, task=REGRESS, labels=numbers, cache=tmp_path / "c"
    )
    # and its own scale
    assert found.labels == numbers and found.splits["test"].labels[:, 0].tolist() == [1, 5]


def test_a_completion_needs_an_end(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", {"prompt": "a", "completion": "b"})
    with pytest.raises(TokenizerError, match="no end-of-text token to end a completion with"):
        prepare(
            config.Data(path=str(path)),
            byte_tokenizer(separate=False),
            task=COMPLETE,
            cache=tmp_path / "c",
        )


def test_an_unknown_character_is_told_with_its_place(tmp_path):
    from wellfit.tokenizer import char_tokenizer

    path = write_jsonl(
        tmp_path / "a.jsonl", {"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "z"}
    )
    with pytest.raises(TokenizerError, match=r"a.jsonl:2: character 'z'"):
        prepare(
            config.Data(path=str(path)),
            char_tokenizer(["ab"], separate=True),
            task=COMPLETE,
            cache=tmp_path / "c",
        )


def test_places_name_the_examples_wherever_the_files_are_now(tmp_path):
    from wellfit.data import places_of

    found = made(tmp_path, CLASSIFY, *labelled("a", "b"))
    sources = find_sources(config.Data(path=str(tmp_path / "a.jsonl")))
    assert places_of(sources, found.splits["val"], [1]) == [f"{tmp_path}/a.jsonl:4"]
