"""Records of conversations, in the forms that they are published in, as messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wellfit.data.reading import Bad

_ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function", "function_response"), "tool"),
    "function_call": "assistant",
    "system": "system",
    "developer": "developer",
}
_KEYS = ("messages", "conversations", "conversation")


class Conversation(NamedTuple):
    """Messages as chat templates take them: each a ``role`` and a ``content``, or tool calls."""

    form: str  # how the record was written
    messages: list[dict[str, Any]]
    tools: list[Any] | None

    @property
    def given(self) -> str:
        """What the assistant did not say."""
        turns = [message for message in self.messages if message["role"] != "assistant"]
        return json.dumps([turns, self.tools], ensure_ascii=False, sort_keys=True)


def strings_in(value: Any) -> Iterator[str]:
    """Every string in a value, however deep, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from strings_in(key)
            yield from strings_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings_in(inner)


def conversation_of(found: Mapping[str, Any], key: str) -> Conversation:
    """The conversation in a record: OpenAI messages, ShareGPT or Alpaca.

    ``key`` holds the turns, or is ``auto``.  Raises ``Bad`` where there is no conversation.
    """
    if key == "auto":
        _refuse_preferences(found)
        key = next((name for name in _KEYS if found.get(name)), "")
        if not key and "instruction" in found and "output" in found:
            return Conversation("Alpaca", _alpaca(found), None)
        if not key:
            keys = ", ".join(map(repr, list(found)[:20])) or "none"
            story = f"no conversation; the keys are {keys}. Name the one that holds the turns with "
            raise Bad("no conversation", f"{story}task.messages")
    turns = _unpacked(found[key])
    if not isinstance(turns, list) or not turns or not all(isinstance(t, dict) for t in turns):
        raise Bad("no conversation", f"{key!r} is not a list of turns: {str(turns)[:60]!r}")
    messages = [_message(turn, number) for number, turn in enumerate(turns, 1)]
    if isinstance(found.get("system"), str) and found["system"].strip():
        messages.insert(0, {"role": "system", "content": found["system"]})
    tools = _unpacked(found.get("tools"))
    form = "ShareGPT" if "from" in turns[0] else "OpenAI messages"
    return Conversation(form, messages, tools if isinstance(tools, list) and tools else None)


def _refuse_preferences(found: Mapping[str, Any]) -> None:
    """Not every answer in them is one to learn."""
    is_pair = "chosen" in found and "rejected" in found
    if is_pair or ("messages" in found and isinstance(found.get("label"), bool)):
        what = "a better and a worse answer" if is_pair else "an answer and whether it is good"
        story = (
            f"the record holds {what}, and chat learns every answer. Take out the good ones; to "
            "learn all turns as they stand, name their key with task.messages"
        )
        raise Bad("preferences", story)


def _alpaca(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Instruction and input are one turn, a line apart, as LLaMA-Factory joins them."""
    for name in ("instruction", "output"):
        if not isinstance(found[name], str):
            raise Bad("no text", f"{name!r} is {type(found[name]).__name__}, not text")
    earlier = found.get("history") or []
    asked = "\n".join(text for text in (found["instruction"], found.get("input")) if text)
    pairs = [*earlier, (asked, found["output"])]
    turns = [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=False)
    ]
    if found.get("system"):
        turns.insert(0, {"role": "system", "content": found["system"]})
    return [_message(turn, number) for number, turn in enumerate(turns, 1)]


def _message(turn: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A turn as a message."""
    says = str(turn.get("role", turn.get("from")))
    role, content = _ROLES.get(says), turn.get("content", turn.get("value"))
    if role is None:
        raise Bad("unknown role", f"turn {number} is by {says!r}; roles are {', '.join(_ROLES)}")
    if turn.get("weight", 1) != 1:
        raise Bad("weight", f"turn {number} has a weight, and turns here count alike")
    message = {k: v for k, v in turn.items() if k not in ("from", "value") and v is not None}
    message["role"] = role
    if says == "function_call":
        return {"role": role, "tool_calls": [_call(_unpacked(content), number)]}
    if message.get("tool_calls"):
        message["tool_calls"] = [_call(call, number) for call in message["tool_calls"]]
    elif isinstance(content, list) and all("text" in part for part in content):
        content = "".join(part["text"] for part in content)
    if isinstance(content, str):
        message["content"] = content
    elif not message.get("tool_calls"):
        raise Bad("no text", f"turn {number} ({says}) has {type(content).__name__}, not text")
    if role == "assistant" and not (content or "").strip() and not message.get("tool_calls"):
        raise Bad("empty turn", f"turn {number}, by the assistant, is empty")
    return message


def _call(call: Any, number: int) -> dict[str, Any]:
    """A tool call as templates take it, its arguments a mapping."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or "name" not in function:
        raise Bad("no tool call", f"turn {number} calls no function by name: {str(call)[:60]!r}")
    arguments = _unpacked(function.get("arguments", {}))
    outer = call if "function" in call else {"type": "function"}
    return {**outer, "function": {**function, "arguments": arguments}}


def _unpacked(value: Any) -> Any:
    """What a string of JSON holds; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
