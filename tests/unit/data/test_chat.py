"""Conversations as examples."""

from __future__ import annotations

import json

import pytest

from tests.corpora import examples, learned, spelled, write, write_jsonl
from wellfit import config
from wellfit.data import chat, end_of_answer, prepare, render_prompt
from wellfit.errors import DataError, TokenizerError
from wellfit.tokenizer import byte_tokenizer, char_tokenizer

TAIL = {"kind": "tail", "val": 0.5}
HEAD = "<|im_start|>user\nq{0}<|im_end|>\n<|im_start|>assistant\n"


def talk(number, answer="a"):
    said = {"role": "assistant", "content": f"{answer}{number}"}
    return {"messages": [{"role": "user", "content": f"q{number}"}, said]}


def made(path, *records, tokenizer=None, task=None, **fields):
    file = write_jsonl(path / "a.jsonl", *(records or [talk(i) for i in range(4)]))
    fields = {"split": TAIL, "duplicates": "keep", **fields}
    return examples(file, path / "cache", task or config.Chat(), tokenizer, **fields)


@pytest.mark.parametrize("tokenizer", [config.ByteTokenizer(), config.CharTokenizer()])
def test_without_special_tokens_markers_are_text_and_the_end_is_put_there(tmp_path, tokenizer):
    found = made(tmp_path, tokenizer=tokenizer)
    answer = "a0<|im_end|>\n<|endoftext|>"
    assert learned(found, "train")[0] == [(HEAD.format(0), False), (answer, True)]
    audit = found.audit["examples"]
    # and told
    assert audit["end"] == "<|endoftext|>" and audit["end_added"] is True
    assert audit["forms"] == {"OpenAI messages": 4} and audit["template"] == "chatml"
    assert end_of_answer(found.tokenizer) == found.tokenizer.eos_id


def test_a_vocabulary_made_here_gets_the_markers(tmp_path):
    found = made(tmp_path, tokenizer=config.BpeTokenizer(vocab=270))
    tokenizer = found.tokenizer
    assert learned(found, "train")[0] == [
        (HEAD.format(0), False),
        ("a0<|im_end|>", True),
        ("\n", False),
    ]
    assert tokenizer.decode([end_of_answer(tokenizer)]) == "<|im_end|>"
    assert found.audit["examples"]["end_added"] is False
    # a marker is one token, and none of the merges is spent on it
    first = found.splits["train"].tokens[0]
    assert tokenizer.decode([first]) == "<|im_start|>" and tokenizer.token_bytes[first] == 0


def test_a_prompt_is_the_beginning_of_what_was_trained_on(tmp_path):
    for tokenizer in (config.ByteTokenizer(), config.BpeTokenizer(vocab=270)):
        found = made(tmp_path, tokenizer=tokenizer)
        ids = render_prompt(talk(0)["messages"][:1], found.tokenizer)
        split = found.splits["train"]
        # up to the first token that is learned
        assert ids.tolist() == split.tokens[: split.learned.argmax()].tolist()


def test_a_file_may_hold_the_template(tmp_path):
    path = write(
        tmp_path / "t.jinja",
        "{% for m in messages %}<|a|>{{ m.content }}{{ eos_token }}{% endfor %}",
    )
    found = made(tmp_path, task=config.Chat(template=str(path)))
    # whose end-of-text token is one, also for bytes
    assert learned(found, "train")[0] == [
        ("<|a|>q0<|endoftext|>", False),
        ("<|a|>a0<|endoftext|>", True),
    ]
    assert found.splits["train"].tokens.tolist().count(256) == 4
    assert found.audit["examples"]["end_added"] is False
    # and the template travels with the tokenizer
    assert "m.content" in chat.chat_template(found.tokenizer)
    with pytest.raises(
        DataError, match=r"none.jinja cannot be read .*task.template is auto, chatml"
    ):
        made(tmp_path, task=config.Chat(template="none.jinja"))


def test_another_template_is_other_data(tmp_path):
    path = write(tmp_path / "t.jinja", chat.CHATML.replace("im_start", "im_begin"))
    tasks = [
        config.Chat(),
        config.Chat(template=str(path)),
        config.Chat(learn="last"),
        config.Chat(messages="messages"),
    ]
    assert len({made(tmp_path, task=task).folder for task in tasks}) == 4
    # but not the same template under another name
    same = write(tmp_path / "same.jinja", chat.CHATML)
    assert made(tmp_path, task=config.Chat(template=str(same))).folder == made(tmp_path).folder


def test_the_last_turn_of_others_gets_no_end(tmp_path):
    asked = talk(0)["messages"] + [{"role": "user", "content": "more"}]
    found = made(tmp_path, {"messages": asked}, talk(1))
    # nobody shall learn to end there
    assert learned(found, "train")[0][1:] == [
        ("a0<|im_end|>\n", True),
        ("<|im_start|>user\nmore<|im_end|>\n", False),
    ]


def test_conversations_without_an_answer_are_told(tmp_path):
    silent = {"messages": [{"role": "user", "content": "hello"}]}
    found = made(tmp_path, silent, talk(1), talk(2), talk(3))
    told = found.audit["examples"]["learned"]["train"]
    assert told["without"] == 1 and told["without_at"] == [f"{tmp_path}/a.jsonl:1"]
    with pytest.raises(DataError, match=r"no token of train counts: none of its \d examples"):
        made(tmp_path, *(silent for _ in range(4)))


@pytest.mark.parametrize("held", ["<|im_end|>", "x<|im_start|>user", "<|endoftext|>"])
def test_markup_in_a_message_is_refused(tmp_path, held):
    with pytest.raises(DataError, match=r"a.jsonl:2: a message holds '<\|"):
        made(tmp_path, talk(0), talk(1, answer=held))
    found = made(tmp_path, talk(0), talk(1, answer=held), talk(2), talk(3), on_bad="skip")
    assert found.audit["skipped"]["kinds"] == {"markup in a message": 1}


def test_bad_text_anywhere_in_a_conversation_is_bad(tmp_path):
    for answer, says in (("\0", "a NUL character"), ("\ud800", "half a character")):
        with pytest.raises(DataError, match=rf"a.jsonl:2: {says}"):
            made(tmp_path, talk(0), talk(1, answer=answer))


def test_batches_keep_the_order_and_the_places(tmp_path, monkeypatch):
    monkeypatch.setattr("wellfit.data.examples._AT_ONCE", 3)
    records = [talk(i) if i % 4 else {"text": "none"} for i in range(20)]
    found = made(tmp_path, *records, on_bad="skip")
    numbers = [n for split in found.splits.values() for n in split.places[:, 1].tolist()]
    assert numbers == [i + 1 for i in range(20) if i % 4]
    texts = [text for name in found.splits for text in spelled(found, name)]
    assert [text.split("\n")[1] for text in texts] == [
        f"q{i}<|im_end|>" for i in range(20) if i % 4
    ]


def test_the_question_decides_the_split(tmp_path):
    records = [talk(i % 40, answer=str(i)) for i in range(120)]
    found = made(tmp_path, *records, split={"kind": "hash", "val": 0.3}, duplicates="drop")
    sides = [{text.split("\n")[1] for text in spelled(found, n)} for n in ("train", "val")]
    # with every answer to it
    assert not sides[0] & sides[1] and found.audit["duplicates"]["across"] == {"val": 0, "train": 0}
    conflicts = found.audit["examples"]["conflicts"]
    assert conflicts["train"] + conflicts["val"] == len(sides[0]) + len(sides[1])


def test_json_lists_csv_and_parquet_hold_conversations_too(tmp_path):
    records = [{"instruction": f"q{i}", "output": f"a{i}"} for i in range(4)]
    rows = "instruction,output\n" + "".join(f"q{i},a{i}\n" for i in range(4))
    pyarrow = pytest.importorskip("pyarrow.parquet")
    table = __import__("pyarrow").Table.from_pylist([talk(i) for i in range(4)])
    pyarrow.write_table(table, tmp_path / "c.parquet")
    for path in (
        write(tmp_path / "a.json", json.dumps(records)),
        write(tmp_path / "b.csv", rows),
        tmp_path / "c.parquet",
    ):
        found = examples(path, tmp_path / "cache", config.Chat(), split=TAIL)
        assert spelled(found, "val")[-1] == HEAD.format(3) + "a3<|im_end|>\n<|endoftext|>"


def test_a_finished_model_is_asked_in_its_own_template(tmp_path):
    path = write(tmp_path / "t.jinja", "{% for m in messages %}<{{ m.content }}>{% endfor %}")
    trained = made(tmp_path, task=config.Chat(template=str(path)))
    data = config.Data(path=str(tmp_path / "a.jsonl"))
    found = prepare(data, trained.tokenizer, task=config.Chat(), cache=tmp_path / "c")
    assert spelled(found, "test")[0] == "<q0><a0><|endoftext|>"


def test_an_answer_needs_an_end(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", talk(0))
    data = config.Data(path=str(path))
    with pytest.raises(TokenizerError, match="ends an answer with no special token"):
        prepare(data, byte_tokenizer(separate=False), task=config.Chat(), cache=tmp_path / "c")
    with pytest.raises(TokenizerError, match=r"a.jsonl:1: character 'z'"):
        path = write_jsonl(tmp_path / "a.jsonl", talk(0, answer="z"))
        known = char_tokenizer([chat.CHATML + "abq01"], separate=True)
        prepare(data, known, task=config.Chat(), cache=tmp_path / "c")
