"""Templates are programs of other people: what they can do, and what they cannot."""

from __future__ import annotations

import pytest

from wellfit.data import rendering
from wellfit.data.chat import CHATML
from wellfit.data.rendering import Renderer
from wellfit.errors import DataError

TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.fixture
def render():
    """Render one conversation by a template; its process ends with the test."""
    made = []

    def one(template, messages=TALK, tools=None, **fields):
        made.append(Renderer(template, {"eos_token": "</s>"}))
        return made[-1].render([(messages, tools)], "a.jsonl:1", **fields)[0]

    yield one
    for renderer in made:
        renderer.close()


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "q"}'),
        ("{{ {'b': '<\u00e9>', 'a': 1} | tojson(indent=1) }}", '{\n "b": "<\u00e9>",\n "a": 1\n}'),
        (
            "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}"
            "{{ m.content }}{% endfor %}",
            "a",
        ),
        ("{% if true %}\n  x\n  {% endif %}\ny", "  x\ny"),
        ("{{ eos_token }}{{ bos_token }}{{ tools }}", "</s>None"),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{{ messages | length }}{{ messages[5] }}", "2"),
    ],
)
def test_templates_find_what_transformers_gives_them(render, template, text):
    assert render(template, learn="all").text == text


def test_a_rendering_is_the_same_on_any_day(render):
    # the day would make the same data other data tomorrow
    assert render("{{ strftime_now('%Y') }}", learn="all").text == "2024"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('no such turn') }}", "TemplateError: no such turn"),
        ("{{ messages.x.y }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{% include 'file.txt' %}", "no loader for this environment"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    ],
)
def test_what_a_template_may_not_do_is_told_of_the_conversation(render, template, says):
    assert says in render(template)


def test_a_template_that_is_not_jinja_is_an_error(render):
    with pytest.raises(DataError, match=r"not sound Jinja \(line 2: .*\)\. See task.template"):
        render("{% if x %}\n{% endfor %}")


def test_time_has_a_limit(render, monkeypatch):
    monkeypatch.setattr(rendering, "CPU_S", 1)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(
        DataError,
        match="more than 1 s of processor time on the conversations from a",
    ):
        render(endless)
    monkeypatch.setattr(rendering, "WALL_S", 0.5)
    monkeypatch.setattr(rendering, "CPU_S", 100)
    with pytest.raises(DataError, match="took more than 0.5 s on"):
        render(endless)


def test_memory_has_a_limit(render):
    huge = "{% set x = 'a' * 900000000 %}{{ x ~ x ~ x }}"
    with pytest.raises(DataError, match="took more than 1.07 GB on the conv"):
        render(huge)


def test_a_batch_after_a_long_one_has_a_time_of_its_own(render, monkeypatch):
    monkeypatch.setattr(rendering, "CPU_S", 1)
    busy = "{% for a in range(300) %}{% for b in range(9999) %}{% endfor %}{% endfor %}x"
    renderer = Renderer(busy, {})
    # together they take longer than one may
    for _ in range(8):
        assert renderer.render([(TALK, None)], "here", learn="all")[0].text == "x"
    renderer.close()


def test_each_answer_is_where_the_template_puts_it(render):
    talk = [{"role": "user", "content": "aa"}, {"role": "assistant", "content": "a"}] * 2
    text, spans = render(CHATML, talk)
    assert [text[a:b] for a, b in spans] == ["a<|im_end|>\n"] * 2
    # by the place, not by what it says
    assert text[: spans[0][0]].endswith("<|im_start|>assistant\n")
    _, last = render(CHATML, talk, learn="last")
    assert last == spans[1:]
    assert render(CHATML, talk, learn="all").spans == ((0, len(text)),)
    prompt = render(CHATML, talk[:3], learn=None)
    assert text.startswith(prompt.text) and len(prompt.text) == spans[1][0]


def test_tags_say_where_answers_are(render):
    tagged = (
        "{% for m in messages %}{% if m.role == 'user' %}[{{ m.content }}]{% else %}"
        "{% generation %}{{ m.content }}.{% endgeneration %}{% endif %}{% endfor %}"
    )
    talk = [*TALK, {"role": "user", "content": "a."}, {"role": "assistant", "content": ""}]
    text, spans = render(tagged, talk)
    assert text == "[q]a.[a.]." and [text[a:b] for a, b in spans] == ["a.", "."]
    assert render(tagged, talk, learn="last").spans == spans[1:]


def test_our_own_template_has_places_for_tools(render):
    call = {"function": {"name": "add", "arguments": {"x": 1}}}
    talk = [
        {"role": "system", "content": "Be kind."},
        TALK[0],
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call, call]},
        {"role": "tool", "content": "2"},
        TALK[1],
    ]
    text, spans = render(CHATML, talk, [{"name": "add"}])
    assert text.startswith("<|im_start|>system\nBe kind.\n\nTools, one a line.")
    assert text.count("<|im_start|>system") == 1 and '\n{"name": "add"}<|im_end|>' in text
    said = '<tool_call>{"name": "add", "arguments": {"x": 1}}</tool_call>'
    assert text[slice(*spans[0])] == f"Let me see.\n{said}\n{said}<|im_end|>\n"
    assert "<|im_start|>tool\n2<|im_end|>\n" in text
