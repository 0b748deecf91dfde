"""The report in a real browser: it loads without a word, reads well, and needs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.example_run import build_example_run
from wellfit.report.page import page
from wellfit.store import read_run

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright to drive a browser; see pyproject.toml"
)
pytestmark = pytest.mark.browser

KINDS = ["well-fit", "overfit", "diverged", "running", "classify", "regress", "complete"]
CONTRAST = """
() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("main *")) {
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const svg = node instanceof SVGElement;
    const a = light(parse(svg ? style.fill : style.color)), b = light(behind(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([node.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return found;
}
"""
OVERLAPS = """
() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg.chart")) {
    if (!svg.checkVisibility()) continue;
    const boxes = [...svg.querySelectorAll("text")].map(t => [t, t.getBoundingClientRect()]);
    const page = svg.getBoundingClientRect();
    boxes.forEach(([t, a], i) => {
      if (a.right > page.right + 8 || a.left < page.left - 8) found.push(["out", t.textContent]);
      for (const [u, b] of boxes.slice(i + 1))
        if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
          found.push([t.textContent, u.textContent]);
    });
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        run = build_example_run(root / kind, kind=kind)
        run.report.write_text(page(read_run(run.path)), encoding="utf-8")
    return {kind: root / kind / "report.html" for kind in KINDS}


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]  # as root, and in small containers
        running = playwright.chromium.launch(executable_path=chromium, args=options)
        yield running
        running.close()


@pytest.fixture
def visit(browser):
    """Open a page; whatever it says or asks for besides itself is kept."""
    contexts = []

    def open_page(path: Path, *, scheme="light", width=1280, scripts=True):
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900},
            java_script_enabled=scripts,
        )  # fmt: skip
        contexts.append(context)
        tab = context.new_page()
        tab.heard = []
        tab.on("console", lambda message: tab.heard.append(message.text))
        tab.on("pageerror", lambda error: tab.heard.append(str(error)))
        tab.on("request", lambda request: tab.heard.append(request.url))
        tab.goto(path.as_uri())
        assert tab.heard.pop(0) == path.as_uri()
        return tab

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_quiet_fits_and_can_be_read(visit, pages, kind, scheme, width):
    tab = visit(pages[kind], scheme=scheme, width=width)
    # no error, no warning, no request
    assert tab.heard == []
    # nothing sticks out to the side
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    # the verdict is what one sees first, and the run's name is the heading
    assert tab.locator(".verdict .title").is_visible()
    assert tab.locator("h1").inner_text() == kind
    # enough contrast for tired eyes (WCAG AA, 4.5 to 1), charts included
    assert tab.evaluate(CONTRAST) == []
    # words on a chart do not lie on each other or leave it
    assert tab.evaluate(OVERLAPS) == []


SCROLLS = """
() => [...document.querySelectorAll("main *")]
  .filter(e => !(e instanceof SVGElement) && e.checkVisibility())
  .filter(e => e.scrollWidth > e.clientWidth + 1)
  .filter(e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX))
  .map(e => [e.className, e.scrollWidth, e.clientWidth])
"""


@pytest.mark.parametrize("kind", ["well-fit", "classify", "regress", "complete"])
def test_no_table_scrolls_sideways_on_a_phone(visit, pages, kind):
    tab = visit(pages[kind], width=360)
    # numbers stand under their names instead
    assert tab.evaluate(SCROLLS) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_long_example_opens(visit, pages):
    tab = visit(pages["classify"], scripts=False)
    long = tab.locator(".worst .cut").first
    assert long.inner_text().count("answered in none") < 12
    long.locator("summary").click()
    # whole, without a script
    assert long.inner_text().count("answered in none") == 12


def test_light_and_dark_are_two_looks(visit, pages):
    colours = {
        visit(pages["well-fit"], scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    }
    # it follows the reader's setting
    assert len(colours) == 2


@pytest.mark.parametrize("scripts", [True, False])
def test_the_views_of_the_curves_change_without_scripts(visit, pages, scripts):
    tab = visit(pages["overfit"], scripts=scripts)
    assert tab.locator(".view-0").is_visible() and not tab.locator(".view-1").is_visible()
    tab.get_by_text("Close up").click()
    # plain HTML does it
    assert tab.locator(".view-1 svg").first.is_visible()
    assert not tab.locator(".view-0").is_visible()


def test_a_chart_shows_its_numbers_to_mouse_and_keyboard(visit, pages):
    tab = visit(pages["well-fit"])
    chart = tab.locator(".view-0 .wide svg")
    box = chart.bounding_box()
    chart.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    shown = chart.locator(".crosshair text").all_text_contents()
    # the step and each curve's value there
    assert shown[0].startswith("step ") and "batch loss" in shown
    assert any(text.startswith("val") for text in shown)
    speed = tab.locator(".trio svg").last
    speed.focus()
    tab.keyboard.press("Home")
    # the same with arrow keys, from the first step
    assert speed.locator(".crosshair text").first.text_content() == "step 1"
    tab.keyboard.press("Escape")
    assert speed.locator(".crosshair text").count() == 0
    assert tab.heard == []


def test_what_is_folded_opens(visit, pages):
    tab = visit(pages["well-fit"], scripts=False)
    tab.get_by_text("The same as numbers").click()
    # the chart's numbers, for those who cannot see it
    assert tab.locator("details[open] tbody tr").count() == 19


def test_the_page_prints(visit, pages):
    tab = visit(pages["well-fit"])
    tab.emulate_media(media="print", color_scheme="dark")
    # black on white, whatever the screen is set to
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.pdf(format="A4")[:5] == b"%PDF-"
