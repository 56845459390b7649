"""The report: complete, self-contained, and shown by a real browser."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from gencarbon.evaluation import evaluate
from gencarbon.report import tiles, write_report
from tests.synthetic import synthetic_ensemble

CHROMIUM = next(
    (
        p
        for n in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        if (p := shutil.which(n))
    ),
    None,
)
FIGURES = 6
PROBE = """<script>addEventListener("load", () => {
  const shown = i => Math.round(i.getBoundingClientRect().width);
  const seen = [...document.images].map(i => `${i.naturalWidth}x${i.naturalHeight}@${shown(i)}`);
  document.documentElement.setAttribute("data-seen", seen.join(" "));
  const asked = performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:"));
  document.documentElement.setAttribute("data-asked", asked.length);
});</script>"""


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    E, R = synthetic_ensemble()
    return write_report(E, R, evaluate(E, R), tmp_path_factory.mktemp("report") / "new" / "report.html")


def picture(uri):
    head, data = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return imread(BytesIO(base64.b64decode(data, validate=True)))


def test_every_picture_is_inside_and_drawn(report):
    images = Page(report.read_text(encoding="utf-8")).all("img")
    assert len(images) == FIGURES
    for image in images:
        pixels = picture(image["src"])
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.02  # not blank
        assert len(image["alt"]) > 40


def test_nothing_is_asked_of_the_network(report):
    html = report.read_text(encoding="utf-8")
    page = Page(html)
    loads = [
        v
        for _, attrs in page.tags
        for k, v in attrs.items()
        if k in ("src", "href", "srcset", "data", "poster")
    ]
    assert loads and all(v.startswith("data:") for v in loads)
    assert not page.all("script") and not page.all("iframe")
    assert not re.search(r"@import|url\(|https?://|//cdn", html)


def test_figures_have_captions_and_tables_have_heads(report):
    page = Page(report.read_text(encoding="utf-8"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == FIGURES
    assert [a.get("lang") for a in page.all("html")] == ["en"]
    for word in (
        "Spread-skill ratio",
        "Mass-budget error",
        "Scores by lead time",
        "Provenance",
        "1 d",
        "2 d",
        "8 x 16 cells",
    ):
        assert word in page.text


def test_the_verdict_follows_the_numbers(tiny_ensemble):
    scores = evaluate(*tiny_ensemble)
    assert [t.state for t in tiles(scores)] == ["good", "good", "good", "plain"]
    assert tiles(scores)[0].value == f"{float(scores.crps_over_coarse_mae_overall):.3f}"
    bad = scores.assign(crps_over_coarse_mae_overall=1.4, spread_skill_overall=0.3, budget_error_max=2e-3)
    assert [t.state for t in tiles(bad)] == ["warn", "warn", "warn", "plain"]
    assert "too little spread" in tiles(bad)[1].text
    assert tiles(bad)[2].value == "2 × 10⁻³"


def test_names_from_outside_are_escaped(tiny_ensemble, tmp_path):
    E, R = tiny_ensemble
    E.attrs["title"] = "<script>alert(1)</script>"
    html = write_report(E, R, evaluate(E, R), tmp_path / "r.html").read_text(encoding="utf-8")
    assert not Page(html).all("script")


def test_an_ensemble_without_rivals_has_a_report(tiny_ensemble, tmp_path):
    E, R = tiny_ensemble
    E = E.drop_vars(["co2_background", "co2_mean_network"])
    page = Page(write_report(E, R, evaluate(E, R), tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.all("img")) == FIGURES
    assert "coarse run" not in page.text.split("Provenance")[0].split("CO₂ fields")[0]


def browse(path, profile, *action):
    """Run headless Chromium on a file, without network."""
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    more = "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
    command = [
        CHROMIUM,
        *quiet.split(),
        *more.split(),
        "--proxy-server=127.0.0.1:9",
        f"--user-data-dir={profile}",
        *action,
    ]
    return subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_every_picture(report, tmp_path):
    wrapped = tmp_path / "probe.html"
    wrapped.write_text(
        report.read_text(encoding="utf-8").replace("</head>", PROBE + "</head>"), encoding="utf-8"
    )
    dom = browse(wrapped, tmp_path / "profile", "--dump-dom", "--window-size=1280,3900")
    seen = re.search(r'data-seen="([^"]*)"', dom).group(1).split()
    assert len(seen) == FIGURES
    for size in seen:
        natural, shown = size.split("@")
        assert min(map(int, natural.split("x"))) > 300 and int(shown) > 300
    assert re.search(r'data-asked="(\d+)"', dom).group(1) == "0"

    broken = tmp_path / "broken.html"
    broken.write_text(
        re.sub(
            r'src="data:image/png;base64,.{40}',
            'src="data:image/png;base64,',
            wrapped.read_text(encoding="utf-8"),
            count=1,
        )
    )
    dom = browse(broken, tmp_path / "profile", "--dump-dom", "--window-size=1280,3900")
    assert "0x0@" in dom  # a picture that does not decode is caught


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_screenshot_is_not_blank_anywhere(report, tmp_path):
    shot = tmp_path / "shot.png"
    browse(report, tmp_path / "profile", f"--screenshot={shot}", "--window-size=1280,3300")
    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (3300, 1280)
    bands = [band.std() for band in np.array_split(pixels, 10)]
    assert min(bands[:9]) > 0.02, bands
