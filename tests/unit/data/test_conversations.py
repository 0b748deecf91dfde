"""Records of conversations, in each of the forms that they come in."""

from __future__ import annotations

import json

import pytest

from wellfit import config
from wellfit.data.conversations import conversation_of
from wellfit.data.reading import Bad

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CALL = {"name": "add", "arguments": {"x": 1}}


def read(found, **fields):
    return conversation_of(found, config.Chat(**fields).messages)


def messages(found, **fields):
    return read(found, **fields).messages


@pytest.mark.parametrize(
    ("found", "form"),
    [
        ({"messages": [USER, ANSWER]}, "OpenAI messages"),
        ({"conversations": [USER, ANSWER]}, "OpenAI messages"),
        ({"messages": json.dumps([USER, ANSWER])}, "OpenAI messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, ANSWER]},
            "OpenAI messages",
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            "ShareGPT",
        ),
        ({"instruction": "q", "output": "a"}, "Alpaca"),
        ({"instruction": "q", "input": "", "output": "a", "system": "", "history": []}, "Alpaca"),
    ],
)
def test_each_form_is_known_by_its_keys(found, form):
    made = read(found)
    said = [{k: v for k, v in m.items() if k in ("role", "content")} for m in made.messages]
    # and becomes the same messages
    assert made.form == form and said == [USER, ANSWER]


def test_alpaca_joins_instruction_and_input_behind_what_came_before():
    found = {
        "instruction": "Translate",
        "input": "one",
        "output": "eins",
        "system": "Be kind.",
        "history": [["hi", "hello"]],
    }
    assert [(m["role"], m["content"]) for m in messages(found)] == [
        ("system", "Be kind."),
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "Translate\none"),
        ("assistant", "eins"),
    ]


def test_sharegpt_calls_of_tools_are_turns_of_the_assistant():
    turns = [
        {"from": "human", "value": "1+1"},
        {"from": "function_call", "value": '{"name": "add", "arguments": {"x": 1}}'},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "two"},
    ]
    made = read({"conversations": turns, "system": "s", "tools": '[{"name": "add"}]'})
    assert [m["role"] for m in made.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert made.messages[2]["tool_calls"] == [{"type": "function", "function": CALL}]
    assert made.tools == [{"name": "add"}]


def test_arguments_of_calls_become_mappings():
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
    found = {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]}
    # as templates print them; content that is null is no content
    assert messages(found)[1] == {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": CALL}],
    }


def test_the_key_of_the_turns_can_be_named():
    found = {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER], "label": True}
    assert messages(found, messages="chosen") == [USER, ANSWER]


@pytest.mark.parametrize(
    ("found", "kind", "says"),
    [
        ({"text": "x", "id": 1}, "no conversation", "the keys are 'text', 'id'. Name the one"),
        ({"messages": "hello"}, "no conversation", "'messages' is not a list of turns: 'hello'"),
        ({"messages": [["user", "q"]]}, "no conversation", "is not a list of turns"),
        (
            {"messages": [{"role": "narrator", "content": "x"}]},
            "unknown role",
            "by 'narrator'; roles",
        ),
        ({"messages": [{"content": "x"}]}, "unknown role", "turn 1 is by 'None'"),
        ({"messages": [USER, {"role": "assistant"}]}, "no text", "turn 2 (assistant) has NoneType"),
        (
            {"messages": [USER, {"role": "assistant", "content": " \n"}]},
            "empty turn",
            "turn 2, by the",
        ),
        ({"messages": [USER, ANSWER | {"weight": 0}]}, "weight", "turn 2 has a weight"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "no text", "has list"),
        (
            {"conversations": [{"from": "function_call", "value": "add(1)"}]},
            "no tool call",
            "turn 1",
        ),
        (
            {"conversations": [USER], "chosen": 1, "rejected": 2},
            "preferences",
            "a better and a worse",
        ),
        ({"messages": [USER, ANSWER], "label": False}, "preferences", "whether it is good"),
        ({"instruction": "x", "output": 3}, "no text", "'output' is int, not text"),
    ],
)
def test_what_is_no_conversation_is_bad(found, kind, says):
    with pytest.raises(Bad) as caught:
        read(found)
    assert caught.value.kind == kind and says in str(caught.value)


def test_what_the_assistant_says_is_not_given():
    one, other = (
        read({"messages": [USER, ANSWER]}),
        read({"messages": [USER, {**ANSWER, "content": "b"}]}),
    )
    # the same question with two answers is a copy, and so on one side
    assert one.given == other.given
    assert read({"messages": [{**USER, "content": "r"}, ANSWER]}).given != one.given
