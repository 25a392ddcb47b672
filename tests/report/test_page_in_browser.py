"""The page in a real browser, as a person uses it: with mouse and keyboard, and printed.

Chromium is Debian's. Where it is missing these tests are skipped.
"""

import json
import math
import re
import shutil
import time
import zlib

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from hebbevo.objectives.goal import Goal
from hebbevo.report.page import page as page_of
from hebbevo.report.picture import picture
from tests.report.conftest import MadeUpRecord, MadeUpStudy, confirmed, failed_at, made_up_trials

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
ROWS = {"train": 1259, "validation": 269, "test": 269}
HOSTILE = """<img src=x onerror="window.hit=1">&amp;$_{<b>"""
PICTURE = b"\x89PNG"
DRAW_ALL = "charts.filter((chart) => chart.offsetParent).forEach(draw)"  # not those that are hidden


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function that writes the page of a study of `STUDIES` once, and gives the study and the page."""
    known = {}

    def written(name):
        if name not in known:
            study, path = STUDIES[name](), tmp_path_factory.mktemp("report") / "report.html"
            path.write_text(page_of(study, picture(study) if name == "found" else PICTURE), encoding="utf-8")
            known[name] = study, path
        return known[name]

    return written


class Tabs:
    """The open pages, one for each study and colour scheme; what the browser complains about is kept."""

    def __init__(self, browser, written):
        self.browser, self.written = browser, written
        self.open, self.complaints = {}, []

    def new(self, name, **options):
        """Open the page of a study."""
        context = self.browser.new_context(viewport={"width": 1400, "height": 900}, **options)
        context.set_default_timeout(15_000)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.complaints.extend(from_elsewhere(request.url)))
        page.goto(self.written(name)[1].as_uri())
        return page


@pytest.fixture(scope="module")
def tabs(browser, written):
    return Tabs(browser, written)


@pytest.fixture
def visit(tabs):
    """Look at the page of a study, which is open already or is opened now; no test may change it for good."""

    def visit(name, scheme="light"):
        if (name, scheme) not in tabs.open:
            tabs.open[name, scheme] = tabs.new(name, color_scheme=scheme)
        page = tabs.open[name, scheme]
        page.evaluate("() => { document.querySelector('dialog').close(); scrollTo(0, 0); }")
        return tabs.written(name)[0], page

    yield visit
    assert tabs.complaints == []


@pytest.fixture
def own_page(tabs):
    """Open the page of a study in a window of its own, for a test that changes it."""
    pages = []

    def own_page(name, **options):
        pages.append(tabs.new(name, **options))
        return pages[-1]

    yield own_page
    for page in pages:
        page.context.close()
    assert tabs.complaints == []


def some(count=60, **changes):
    return MadeUpStudy(MadeUpRecord(made_up_trials(count=count, failed=2, collapsed=2), rows=ROWS, **changes))


def from_elsewhere(url):
    """The address, unless it is that of a file or of data in the page."""
    return [] if url.startswith(("file:", "data:")) else [url]


def overflow(page):
    """How far the page, not a table in it, is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def with_gene(study, name, settings, values):
    frame = study.record.frame.assign(**{f"genome.{name}": values})
    return study.but(frame=frame, genome=study.record.genome | {name: settings})


def topology():
    study = some(40)
    count = len(study.record.frame)
    study = with_gene(study, "depth", {"low": 1, "high": 3, "type": "int"}, np.arange(count) % 3 + 1)
    second = pd.array([None if place % 3 == 0 else 16 for place in range(count)], dtype="Int64")
    study = with_gene(study, "hidden.1", {"low": 4, "high": 128, "log": True, "type": "int"}, 8)
    return with_gene(study, "hidden.2", {"low": 4, "high": 128, "log": True, "type": "int"}, second)


def conv():
    study = some(30, settings={"network": {"family": "conv", "channels": [16, 32], "hidden": None}})
    widths = pd.Series([[16, 32] if place % 2 else [8, 16] for place in range(30)], dtype=object)
    return with_gene(study, "channels", {"choices": [[8, 16], [16, 32]]}, widths.to_numpy())


def hebb_mask():
    study = some(30, settings={"network": {"connections": "hebb_mask", "units": "dense"}})
    study.count = "connections"
    return with_gene(study, "connections", {"choices": ["hebb_mask", "full"]}, "hebb_mask")


def halving():
    study = some(40)
    frame = study.record.frame.copy()
    stopped = frame.index[(frame["state"] == "complete") & (frame["trial"] % 3 == 0)]
    frame.loc[stopped, "state"] = "stopped"
    frame.loc[stopped, ["accuracy", "accuracy_sd", "survivors", "survivors_sd"]] = np.nan
    states = tuple((int(trial), 4, 0.8, 90.0) for trial in frame["trial"][stopped])
    return study.but(frame=frame, earlier_states=states)


def one_replicate():
    return MadeUpStudy(MadeUpRecord(made_up_trials(count=60, replicates=1), rows=ROWS))


def all_failed():
    study = some(30)
    return study.but(frame=failed_at(study.record.frame, study.record.frame.index, "diverged in epoch 3"))


def hostile():
    study = some(30)
    frame = study.record.frame.rename(columns={"genome.penalty_form": f"genome.{HOSTILE}"})
    frame[f"genome.{HOSTILE}"] = HOSTILE
    genome = {gene: value for gene, value in study.record.genome.items() if gene != "penalty_form"}
    return study.but(frame=frame, genome=genome | {HOSTILE: {"choices": [HOSTILE]}}, name=HOSTILE)


STUDIES = {
    "found": lambda: some(500),
    "few trials": lambda: some(60),
    "confirmed": lambda: confirmed(some(500)),
    "confirmed without a test": lambda: confirmed(some(60), has_test=False),
    "three trials": lambda: MadeUpStudy(MadeUpRecord(made_up_trials(3, failed=0, collapsed=0, replicates=1))),
    "one trial": lambda: MadeUpStudy(MadeUpRecord(made_up_trials(1, failed=0, collapsed=0))),
    "no trial": lambda: some().but(frame=made_up_trials().iloc[:0]),
    "all failed": all_failed,
    "one objective": lambda: some(goal=Goal(("accuracy",))),
    "constraints": lambda: some(goal=Goal(constraints={"accuracy": (0.9, None), "survivors": (None, 40.0)})),
    "topology": topology,
    "hebb_mask": hebb_mask,
    "conv": conv,
    "one replicate": one_replicate,
    "halving": halving,
    "hostile": hostile,
    "10,000 trials": lambda: MadeUpStudy(MadeUpRecord(made_up_trials(10_000, replicates=1), rows=ROWS)),
}


# to draw every chart of 10,000 trials takes long, and a test below opens their page
@pytest.mark.parametrize("name", [name for name in STUDIES if name != "10,000 trials"])
def test_the_page_of_any_study_is_drawn_without_a_complaint(visit, name):
    _, page = visit(name)
    page.evaluate(DRAW_ALL)
    charts = page.locator(".chart:visible")
    assert page.locator(".chart:visible .main-svg").count() >= charts.count()
    assert "nan" not in page.inner_text("main").lower().replace("became nan", "")
    assert overflow(page) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_of_a_window_makes_the_page_scroll_sideways(visit, scheme):
    _, page = visit("confirmed", scheme)
    page.evaluate(DRAW_ALL)
    for width in (800, 390, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        # plotly draws again after a moment
        page.wait_for_function(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")


def test_every_text_has_the_contrast_that_wcag_asks_for(visit):
    for scheme in ("light", "dark"):
        _, page = visit("confirmed", scheme)
        page.evaluate(DRAW_ALL)
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        poor = page.evaluate(CONTRASTS)
        assert poor == []


CONTRASTS = """() => {
  const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const luminance = (colour) =>
    [0.2126, 0.7152, 0.0722].reduce((sum, part, place) => sum + part * channel(colour[place] / 255), 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("main *, header *, footer")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest(".modebar-container, .hidden")) continue;
    const style = getComputedStyle(element);
    const ink = parts(element.namespaceURI.includes("svg") ? style.fill : style.color);
    const [light, dark] = [luminance(ink), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) poor.push([element.tagName, element.textContent.slice(0, 30), ratio]);
  }
  return poor;
}"""


def test_the_mouse_pointer_on_a_point_shows_its_genome(visit):
    study, page = visit("few trials")  # no other trial lies on the point
    member = study.front().iloc[-1]
    point = page.locator("#chart-front path.point[tabindex]").last
    point.hover(force=True)
    text = page.locator("#chart-front .hoverlayer .hovertext").first
    text.wait_for()
    shown = text.inner_html()
    assert (
        f"trial {member['trial']}" in shown
        and f"learning_rate: {member['genome.learning_rate']:.4g}" in shown
    )


def test_a_click_on_a_point_shows_the_network_and_how_to_train_it_again(visit):
    study, page = visit("few trials")  # no other trial lies on the point
    member = study.front().iloc[-1]
    page.locator("#chart-front path.point[tabindex]").last.click(force=True)
    dialog = page.locator("dialog")
    dialog.wait_for()
    assert dialog.locator("h2").inner_text() == f"trial {member['trial']}"
    assert json.loads(dialog.locator("#network-json").inner_text()) == study.genome(int(member["trial"]))
    line = f"hebbevo.network(hebbevo.open_study('studies/stamina.db'), trial={member['trial']}, epoch=20)"
    assert dialog.locator("#network-python").inner_text() == line


def test_all_points_of_the_front_can_be_chosen_by_the_keyboard(visit):
    study, page = visit("found")
    points = page.locator("#chart-front path.point[tabindex]")
    assert points.count() == len(study.front())
    points.first.focus()
    for key in ("Enter", " "):
        page.keyboard.press(key)
        page.locator("dialog[open]").wait_for()
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0
    assert re.match(
        r"trial \d+.*, accuracy .* %, surviving neurons ", points.first.get_attribute("aria-label")
    )


def test_rows_of_the_table_are_buttons_that_show_the_same(visit):
    _, page = visit("found")
    button = page.locator("#section-2 th button").first
    button.focus()
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    assert page.locator("#network-title").inner_text() == button.inner_text()


def test_commands_and_genomes_are_copied(visit):
    _, page = visit("found")
    page.locator("#section-1 .copy").first.click()
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "hebbevo confirm studies/stamina.db"
    page.locator("#section-1 button.network").first.click()
    page.locator("dialog .copy").last.click()
    page.wait_for_function(
        "navigator.clipboard.readText().then((text) => text.startsWith('hebbevo.network('))"
    )


def test_what_cannot_be_copied_by_the_browser_is_selected(own_page):
    page = own_page("found")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.evaluate("() => { document.execCommand = () => false; }")
    page.locator("#section-1 .copy").first.click()
    page.get_by_text("Press Ctrl+C").first.wait_for()
    assert page.evaluate("getSelection().toString()").strip() == "hebbevo confirm studies/stamina.db"


def test_the_confirmed_page_says_what_to_take_before_anything_is_scrolled(visit):
    _, page = visit("confirmed")
    for text in ("Take trial", "A dense network with the same widths scores", "less dense"):
        assert page.get_by_text(text).first.bounding_box()["y"] < 900
    assert page.locator("#chart-verdict .main-svg").count()


def test_a_browser_without_scripts_shows_the_picture(own_page):
    page = own_page("found", java_script_enabled=False)
    picture = page.locator("main img")
    assert picture.bounding_box()["width"] > 500
    assert page.locator(".chart:visible").count() == 0
    assert page.get_by_text("The networks on the front").is_visible()


def test_the_printed_page_has_all_charts_and_no_page_that_is_mostly_empty(own_page, tmp_path):
    page = own_page("confirmed")
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert page.evaluate("charts.filter((chart) => chart.offsetParent).every((chart) => chart.dataset.drawn)")
    pages = printed_pages((tmp_path / "report.pdf").read_bytes())
    assert 5 < len(pages) <= 14
    assert min(map(share_with_text, pages[:-1])) > 1 / 3


def printed_pages(pdf):
    """What each page of a PDF file by Chromium draws, as lists of words."""
    objects = dict(re.findall(rb"(\d+) 0 obj\n(.*?)endobj", pdf, re.DOTALL))
    pages = [each for each in objects.values() if b"/Type /Page\n" in each]
    numbers = [re.search(rb"/Contents (\d+) 0 R", each)[1] for each in pages]
    streams = [re.search(rb"stream\r?\n(.*)endstream", objects[each], re.DOTALL)[1] for each in numbers]
    return [zlib.decompress(each).decode("latin-1").split() for each in streams]


def share_with_text(words):
    """How far down a page its last text is, from 0 to 1.

    Only heights are followed: a place y stands at ``scale * y + start``, in points from the lower edge.
    """
    scale, start, saved, lowest, height = 1.0, 0.0, [], math.inf, None
    for place, word in enumerate(words):
        if word == "q":
            saved.append((scale, start))
        elif word == "Q":
            scale, start = saved.pop()
        elif word == "cm":
            start += scale * float(words[place - 1])
            scale *= float(words[place - 3])
            height = height or start  # the first one turns the page over
        elif word == "Tm":
            lowest = min(lowest, scale * float(words[place - 1]) + start)
    return 1 - lowest / height


def test_the_list_chooses_the_network_whose_neurons_are_shown(visit):
    study, page = visit("confirmed")
    chooser = page.locator(".chooser")
    chooser.scroll_into_view_if_needed()  # charts far from the screen are not drawn
    trials = study.front(confirmed=True).trial
    chooser.locator("select").select_option(index=len(trials) - 1)
    assert chooser.locator("figure:visible").count() == 1
    assert (
        chooser.locator("figcaption:visible").inner_text().startswith(f"trial {trials.iloc[-1]}. Layer 1: ")
    )
    chart = chooser.locator("figure:visible .main-svg").first
    chart.wait_for()
    assert chart.bounding_box()["width"] > 1000


def test_hostile_names_stay_text_when_they_are_drawn_and_chosen(visit):
    _, page = visit("hostile")
    page.evaluate(DRAW_ALL)
    page.locator("#chart-front path.point[tabindex]").first.hover(force=True)
    page.locator("#chart-front .hoverlayer .hovertext").first.wait_for()
    page.locator("#section-2 th button").first.click()
    assert HOSTILE in page.locator("#network-genome").inner_text()
    assert page.evaluate("window.hit") is None and page.locator("main img").count() == 0


def test_ten_thousand_trials_stay_small_and_are_drawn_at_once(own_page, written):
    _, path = written("10,000 trials")
    assert path.stat().st_size < 10e6
    start = time.perf_counter()
    page = own_page("10,000 trials")
    page.locator("#chart-front .main-svg").first.wait_for()
    assert time.perf_counter() - start < 15  # 1 s on an idle machine
