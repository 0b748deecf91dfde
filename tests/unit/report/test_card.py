"""The card at the end of a run."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from tests.example_run import build_example_run
from wellfit.report import card
from wellfit.report.card import next_commands
from wellfit.report.page import page
from wellfit.store import Record, RunView, read_run
from wellfit.units import format_count, format_span

KINDS = ["well-fit", "overfit", "diverged", "running", "classify", "regress", "complete"]


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {kind: read_run(build_example_run(root / kind, kind=kind).path) for kind in KINDS}


def card_text(view: RunView, *, width: int = 80) -> str:
    """The card as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=False)
    with console.capture() as captured:
        console.print(card(view), soft_wrap=True)
    return "\n".join(row.rstrip() for row in captured.get().splitlines()) + "\n"


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]


def _known(leaves: list[Any], number: str) -> bool:
    """Whether some number of the JSON, rounded as the card rounds it, is ``number``."""
    digits = len(number.partition(".")[2])
    values = [leaf for leaf in leaves if isinstance(leaf, int | float)]
    rounded = {f"{value:,.{digits}f}" for value in values} | {f"{value:g}" for value in values}
    shares = {f"{100 * value:.0f}" for value in values}
    return number in rounded | shares | {f"{1000 * value:.3g}" for value in values}  # in ms


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_on_the_card_is_in_the_json(views, kind):
    leaves = _leaves(json.loads(json.dumps(views[kind].summary(), allow_nan=False)))
    text = " ".join(card_text(views[kind], width=200).split())  # long sentences were wrapped
    spans = [
        f(x) for f in (format_span, format_count) for x in leaves if isinstance(x, int | float)
    ]
    said = [line for leaf in leaves if isinstance(leaf, str) for line in leaf.splitlines() if line]
    said += [line[0].upper() + line[1:] for line in said]
    for words in sorted({*spans, *said}, key=len, reverse=True):
        # as whole words, and not a bare number, which could be part of another one
        if re.search("[A-Za-z]", words):
            text = re.sub(rf"(?<![\w.]){re.escape(words)}(?!\w)", "", text)
    text = text.replace("95%", "")  # the name of the interval, not a result
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    # whoever reads the card can find each number again by a program
    assert [number for number in numbers if not _known(leaves, number)] == []
    # and the search did see numbers
    assert len(numbers) >= 6


def test_the_card_says_the_verdict_first(views):
    text = card_text(views["overfit"])
    # words, how sure, why, what to try, then the number that counts
    parts = ["Overfit", "confidence 94%", "Val loss has risen", "dropout", "bits per byte on test"]
    assert sorted(parts, key=text.index) == parts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_card_fits_the_terminal(views, kind, width):
    text = card_text(views[kind], width=width)
    path = str(views[kind].run.path)
    too_wide = [row for row in text.splitlines() if len(row) > width and path not in row]
    # only what is to be copied whole may go over the edge
    assert not too_wide


def test_paths_are_whole_however_narrow_the_terminal(views):
    # a path broken over two lines cannot be copied
    assert str(views["well-fit"].run.report) in card_text(views["well-fit"], width=40)


def test_the_card_needs_no_colour_and_no_unicode(views):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    console = Console(file=out, width=80, color_system=None)
    console.print(card(views["overfit"]), soft_wrap=True)
    out.flush()
    # every mark has a stand-in
    assert b"Overfit" in out.buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("well-fit", "wellfit sample"),
        ("overfit", "wellfit train"),
        ("diverged", "wellfit report"),
        ("running", "wellfit resume"),
        ("regress", "wellfit sample"),
    ],
)
def test_the_next_command_fits_what_happened(views, kind, first):
    commands = next_commands(views[kind].summary())
    # three, and the most useful one leads
    assert len(commands) == 3 and commands[0].startswith(first)


def test_commands_can_be_typed_as_they_stand(tmp_path):
    run = build_example_run(tmp_path / "my run; rm x", kind="overfit")
    commands = next_commands(read_run(run.path).summary())
    # a name with a space or worse is quoted for the shell
    assert commands[0] == f"wellfit train '{run.path}/recipe.yaml' regularize.dropout=0.2"
    assert commands[1] == f"wellfit sample '{run.path}'"


def test_what_a_model_wrote_cannot_command_the_terminal(tmp_path):
    run = build_example_run(tmp_path / "run", kind="running")
    record = Record.open(run, from_step=None)
    record.sample(400, "", "a\x1b[2Jb\x07\n\x9b31m")
    record.close()
    text = card_text(read_run(run.path))
    # escape sequences show as replacement characters
    assert "a\ufffd[2Jb\ufffd" in text and "\x1b" not in text and "\x9b" not in text


def test_a_run_that_has_only_begun_has_a_card(run_path):
    from wellfit.store import RunDir

    Record.open(RunDir.create(run_path), from_step=0).close("failed")
    text = card_text(read_run(run_path))
    # nothing measured, nothing invented
    assert "Failed" in text and "At step 0" not in text and "An error ended it at step 0" in text


def test_the_numbers_that_decide_stand_under_the_claim(views):
    rows = [row.strip() for row in card_text(views["overfit"]).splitlines()]
    # not how many blocks were measured
    assert any(row.startswith("val loss 1.817, train loss 1.256, ") for row in rows)
    assert "blocks 64" not in " ".join(rows)


@pytest.mark.parametrize(
    ("kind", "headline", "told"),
    [
        ("classify", "0.874 accuracy on test   95%: 0.848 to 0.900, 500 texts",
         ["macro F1", "linear", "loss, nats per text", "prior"]),
        ("regress", "0.617 Pearson's r on test   95%: 0.580 to 0.655, 1,000 texts",
         ["Spearman's rho", "loss, squared deviations per text", "mean"]),
        ("complete", "33.2 BLEU on test   95%: 31.8 to 34.5, 1,000 texts",
         ["chrF", "loss, nats per learned token", "Zwei Leute reden vor einem Laden."]),
        ("well-fit", "2.264 bits per byte on test   95%: 2.244 to 2.284, 55,770 tokens",
         ["loss, nats per token", "bigram", "MARGERY:"]),
    ],
)  # fmt: skip
def test_the_card_speaks_the_language_of_its_task(views, kind, headline, told):
    text = card_text(views[kind])
    # the number that task is judged by, and what surrounds it
    assert headline in text and [part for part in told if part not in text] == []
    # a classifier writes nothing
    assert ("it writes" in text) == (kind in ("complete", "well-fit"))


def test_the_card_says_when_a_simple_model_is_better(views):
    text = " ".join(card_text(views["classify"]).split())
    # once, as the verdict has it; beside it are only figures
    assert text.count("a linear model") == 1 and "TF-IDF of 1- and 2-grams, linear SVM" in text
    assert "accuracy 0.894 against 0.926 on 545 texts of val, -0.032 (95%: -0.053 to" in text
    # and what to do is the first of what to type
    assert next_commands(views["classify"].summary())[0].endswith(" model.kind=ngrams")
    # and when it is not
    assert "Better than a linear model" in " ".join(card_text(views["regress"]).split())
    row = next(r for r in card_text(views["classify"]).splitlines() if r.startswith("  accuracy"))
    # side by side: val, test, its interval, the simple model
    assert row.split() == ["accuracy", "0.894", "0.874", "0.848", "to", "0.900", "0.926"]


def test_labels_and_answers_want_a_text(views):
    # a sample of nothing would say nothing
    assert next_commands(views["regress"].summary())[0].endswith(" TEXT")


def test_utilisation_stands_beside_the_speed_where_it_is_known(tmp_path):
    run = build_example_run(tmp_path / "run")
    assert "MFU" not in card_text(read_run(run.path)) and "MFU" not in page(read_run(run.path))
    record = Record.open(run, from_step=None)
    record.fact("flops_per_token", 1e7)
    record.fact("peak_flops_per_s", 1e12)
    record.close("finished")
    # 24k tokens/s of 10 MFLOP are 0.24 TFLOP/s of 1
    assert "24% of the GPU's bf16 peak (MFU)" in " ".join(card_text(read_run(run.path)).split())
    assert "24% of the GPU&#39;s bf16 peak while training (MFU)" in page(read_run(run.path))
