"""The report as text; tests/e2e looks at it in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.example_run import PROFILE, RECIPE, SAMPLES, build_example_run, example_evaluation
from wellfit.report.page import page
from wellfit.store import Record, RunDir, read_run

KINDS = ["well-fit", "overfit", "diverged", "running", "classify", "regress", "complete"]
VOID = {"meta", "input", "br", "hr", "img", "link"}


class Reader(HTMLParser):
    """Visible text, elements and attributes; fails on tags that do not close."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {k: page(read_run(build_example_run(root / k, kind=k).path)) for k in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole(sources, kind):
    read = Reader(sources[kind])
    # every tag closes, every id is one, and it stays a small file
    ids = [attrs["id"] for _, attrs in read.found if "id" in attrs]
    assert len(ids) == len(set(ids)) and len(sources[kind].encode()) < 1_000_000
    # and no value was forgotten on the way
    assert not re.search(r"\bNone\b|\bnan\b|Undefined|\{\{|dict\(", read.text)


def test_the_page_tells_everything(sources):
    text = Reader(sources["well-fit"]).text
    for part in (
        "Well fit", "Val loss has stopped falling", "confidence 94%",  # the verdict
        "2.264", "95%: 2.244 to 2.284", "2.95M", "2 min 00 s", "24.6k", "1.84M",  # tiles
        "Learning", "Close up", "val 1.557", "train 1.496", "bigram 2.45", "best, step 720",
        "1.569", "1.555 to 1.583", "55,770",  # splits
        "step 320", "MARGERY:",  # samples
        "Steps took 1.4 times as long", "train.threads=2",  # findings
        "Learning rate", "Gradient norm", "Speed",
        "1,003,854", "0.21%",  # audit
        "optim.lr", "0.02 for matrices of any width under Muon", "recipe.yaml:1:8",  # recipe
        "SapphireRapids", "25.3 GB",  # machine
        "The test split was looked at once", "resumed",  # events
    ):  # fmt: skip
        assert part in text, part
    # every sample, as it was written
    assert all(" ".join(sample.split()) in text for sample in SAMPLES.values())


def test_every_key_of_the_recipe_is_there(sources):
    text = Reader(sources["well-fit"]).text
    keys = [f"{s}.{k}" for s, body in RECIPE.items() for k in body if not isinstance(body[k], dict)]
    # asked for, worked out or default: nothing hides
    assert [key for key in keys if key not in text] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_asks_for_nothing(sources, kind):
    read = Reader(sources[kind])
    linked = {"src", "href", "action", "srcset", "data", "poster", "background", "style"}
    # no address that a browser would fetch, no style that the policy would refuse
    asked = [(tag, linked & attrs.keys()) for tag, attrs in read.found if linked & attrs.keys()]
    assert asked == []
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", sources[kind])
    # and nothing that runs from an attribute
    assert not [a for _, attrs in read.found for a in attrs if a.startswith("on")]


def test_the_policy_allows_exactly_this_style_and_script(sources):
    source = sources["well-fit"]
    policy = dict(Reader(source).found)["meta"]
    policy = next(a["content"] for t, a in Reader(source).found if a.get("http-equiv"))
    for tag in ("style", "script"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        # by hash, so that nothing smuggled into the page can run
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("classify", ["Test, accuracy", "0.874", "Linear baseline", "0.926", "Worse than a linear",
                      "linear on test", "500 texts", "3 more metrics", "Loss nats per text",
                      "abbreviation, predicted description: 2", "Accuracy against confidence",
                      "What does <b>NATO</b> stand for?", "test, file 1, record 55", "last 0.893",
                      "prior gives each its share"]),
        ("regress", ["Test, Pearson's r", "Better than a linear", "Predicted against true valence",
                     "Loss squared deviations per text", "each dot is one of 500 texts"]),
        ("complete", ["Test, BLEU", "33.2", "ChrF last 57.4", "Beside the references",
                      "A man sleeps.", "Ein Mann ruht.", "Ein Mann schl\u00e4ft.",
                      "nrefs:1|case:mixed|eff:no", "Learned tokens", "6 more"]),
    ],
)  # fmt: skip
def test_the_page_speaks_the_language_of_its_task(sources, kind, told):
    text = Reader(sources[kind]).text.lower()
    assert [part for part in told if part.lower() not in text] == []
    # bits per byte are of text that is predicted whole
    assert "bits per byte" not in text


def test_long_examples_open_with_a_click(sources):
    read = Reader(sources["classify"])
    cut = [attrs for tag, attrs in read.found if tag == "details" and attrs.get("class") == "cut"]
    # one of them is long, and is there whole
    assert len(cut) == 1
    assert "It is asked in every book, and answered in none. " * 12 in sources["classify"]


ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def test_text_from_a_run_is_never_markup(tmp_path):
    run = RunDir.create(tmp_path / "a<b>c")
    record = Record.open(run, from_step=0)
    record.series(1, {"loss": 1.0, "tokens": 8.0})
    record.sample(1, ATTACK, ATTACK)
    record.event("warning", 1, text=ATTACK)
    finding = dict.fromkeys(("code", "severity", "claim", "advice", "source"), ATTACK)
    record.findings(1, [{**finding, "evidence": {ATTACK: ATTACK}, "change": {ATTACK: ATTACK},
                         "confidence": None}])  # fmt: skip
    record.fact("verdict", {"code": ATTACK, "claim": ATTACK, "confidence": 1, "evidence": {}})
    record.fact("baselines", {ATTACK: 1.0})
    record.fact("machine", {ATTACK: ATTACK})
    record.fact("budget", ATTACK)
    metric = {"value": 0.5, "ci95": [0.4, 0.6], "n": 9}
    record.fact("task", "classify")
    record.evaluation(replace(example_evaluation(1, "test", "full split"),
                              metrics={ATTACK: metric, "accuracy": metric}))  # fmt: skip
    record.fact("outcomes", {"test": {
        "confusion": {"labels": [ATTACK, ATTACK], "counts": [[1, 2], [3, 4]]},
        "per_class": [{"label": ATTACK, "precision": 1, "recall": 1, "f1": 1, "n": 1}],
        "scatter": [[1, 2]], "targets": [ATTACK],
        "worst": [{**dict.fromkeys(("text", "label", "predicted", "place"), ATTACK), "loss": 1}],
        "writings": [dict.fromkeys(("prompt", "reference", "written"), ATTACK * 20)],
        "signatures": {ATTACK: ATTACK},
        "linear": {"name": ATTACK, "metrics": {ATTACK: metric},
                   "against": {"metric": ATTACK, "difference": 0.1, "verdict": "worse"}},
    }})  # fmt: skip
    record.close("finished")
    run.data.write_text(json.dumps({"audit": {ATTACK: ATTACK, "splits": {ATTACK: {ATTACK: 1}}}}))
    line = {"key": ATTACK, "value": ATTACK, "origin": ATTACK, "reason": ATTACK, "source": ATTACK}
    run.resolved.write_text(json.dumps({"recipe": {}, "explained": [line]}))
    read = Reader(page(read_run(run.path)))
    # a run may come from anywhere: everything in it is text
    assert [tag for tag, _ in read.found].count("script") == 1
    assert "img" not in [tag for tag, _ in read.found]
    assert read.text.count(ATTACK) >= 25


def test_a_run_that_has_only_begun_has_a_page(run_path):
    Record.open(RunDir.create(run_path), from_step=0).close("running")
    text = Reader(page(read_run(run_path))).text
    # what is not there yet leaves no empty frame
    assert "Crashed" in text and "a-run" in text
    assert "Learning" not in text and "Recipe" not in text and "What it writes" not in text


def test_a_diverged_run_shows_where(sources):
    text = Reader(sources["diverged"]).text
    # the step, in words, on the chart and in the events
    assert "batch loss: not finite at step 84" in text
    assert "diverged 84" in text and "not a number" in text


def test_long_runs_stay_small(tmp_path):
    run = RunDir.create(tmp_path / "long")
    record = Record.open(run, from_step=0)
    for step in range(100_000):
        record.series(step, {"loss": 3.0 + (step * 7919 % 1000) / 1000, "lr": 1e-3})
    for step in range(0, 100_000, 2_000):
        record.sample(step, "", "x" * 500)
    record.close("finished")
    source = page(read_run(run.path))
    # charts are thinned, and most samples wait behind a click
    assert len(source) < 1_000_000
    assert "44 more samples" in source


def test_the_page_does_not_depend_on_when_it_is_made(tmp_path):
    view = read_run(build_example_run(tmp_path / "run").path)
    # the same record, the same page: it can be compared and cached
    assert page(view) == page(view)


def test_a_baseline_that_is_still_to_be_passed_is_on_the_chart(run_path):
    record = Record.open(RunDir.create(run_path), from_step=0)
    record.fact("baselines", {"uniform": 4.2, "bigram": 2.45})
    for step in range(5):
        record.series(step, {"loss": 3.9 - 0.1 * step})
    record.close("finished")
    # at the end of its line on the chart, above all when the run never got there
    assert "bigram</tspan> 2.45</text>" in page(read_run(run_path))


def test_a_profiled_run_says_where_the_time_of_a_step_goes(sources):
    read = Reader(sources["well-fit"])
    # the number to judge by, and what it cost to look
    assert "51% of a step is matrix products." in read.text
    assert "A step took 164 ms under torch's profiler, and 159 ms without it." in read.text
    bars = [more for tag, more in read.found if tag == "rect" and "kind-" in more.get("class", "")]
    # a bar for the whole step and one for each part, on a wide page and on a narrow one
    whole, parts = PROFILE["kinds"], PROFILE["kinds_by_part"]
    assert len(bars) == 2 * (len(whole) + len(parts))
    widths = [float(attrs["width"]) + 1 for attrs in bars[: len(whole)]]
    # as long as they take: the first is matrix products
    assert widths[0] / sum(widths) == pytest.approx(PROFILE["matrix_products_frac"], rel=0.02)
    # and the operations themselves, by torch's names
    assert "aten::mm" in read.text and "4096x256, 256x1024" in read.text


def test_a_run_that_was_not_profiled_has_no_word_of_it(sources):
    assert "Where a step's time goes" not in sources["classify"]
