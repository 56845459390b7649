"""The report: complete, self-contained, played and shown by a real browser."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

from gencarbon.errors import InputError
from gencarbon.evaluation import evaluate
from gencarbon.fieldplayer import player
from gencarbon.figures_catalogue import score_plates
from gencarbon.figures_comparison import Cell
from gencarbon.figures_stations import has_map
from gencarbon.report import Entry, tiles, write_paper_files, write_report
from tests.browser import browse, needs_browser, told
from tests.synthetic import synthetic_ensemble

STILLS = 2  # maps of the last frame, for browsers without scripts
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SEEN = """addEventListener("load", () => {
  const shown = i => Math.round(i.getBoundingClientRect().width);
  tell("seen", [...document.images].map(i => [i.naturalWidth, i.naturalHeight, shown(i)]));
  tell("asked", performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length);
  tell("overflow", document.documentElement.scrollWidth - document.documentElement.clientWidth);
});"""
REACHES_OUT = """addEventListener("securitypolicyviolation", event => tell("refused", event.blockedURI));
  new Image().src = "http://example.invalid/pixel.png";"""


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.code = [], "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.code = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.code = False

    def handle_data(self, data):
        self.text += "" if self.code else data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def fabricated_comparison():
    """One row that is better, one worse, one undecided, one without result; few samples in the third."""
    numbers = {
        "value": [0.8, 1.3, 1.0, np.nan],
        "difference": [-0.2, 0.3, 0.0, np.nan],
        "low": [-0.3, 0.1, -0.1, np.nan],
        "high": [-0.1, 0.5, 0.1, np.nan],
        "n_eff": [50.0, 40.0, 7.0, np.nan],
    }
    two = {name: (("row", "column"), np.transpose([v, v[::-1]])) for name, v in numbers.items()}
    coords = {
        "row": ["all", "level 1", "day 1-2", "<b>50 %</b>"],
        "column": ["CRPS vs coarse run", "CRPS vs B_2"],
    }
    return xr.Dataset(two, coords, {"level_of_confidence": 0.9})


def fabricated_stations():
    scores = {name: ("station", np.arange(3.0) - 1) for name in ("n", "bias", "rmse", "correlation")}
    places = {"lat": ("station", [10.0, -20.0, 90.0]), "lon": ("station", [0.0, 200.0, 350.0])}
    return xr.Dataset(scores | {"bias_overall": 0.25}, {"station": ["MLO", "<i>SPO</i>", "BRW"], **places})


def with_every_option(scores):
    """Scores with all that a report can draw; spectra follow power laws."""
    degree, level, lead = np.arange(16), scores.level.values, scores.lead_time.values
    power = (level[:, None] * (1.0 + degree) ** -2.0) * (degree > 0)
    spectra = {f"spectrum_{n}": (("level", "degree"), power) for n in ("reference", "members", "mean")}
    memory = {f"autocorrelation_{n}": ("lag", [1.0, 0.5, 0.2]) for n in ("reference", "members")}
    by_lead = {n: ("lead_time", 0.9 + 0 * lead) for n in ("coverage_by_lead", "energy_score_by_lead")}
    rest = {f"continuity_residual_{n}": ("level", 1e-3 / level) for n in ("members", "reference")} | {
        "rank_p_value": 0.25
    }
    rest |= {"reliability_index": ("level", 0.1 * level)}
    scores = scores.drop_vars([*spectra, *memory, *by_lead, *rest], errors="ignore")
    scores = scores.drop_dims(["degree", "lag"], errors="ignore")
    return scores.assign_coords(degree=degree, lag=[0.0, 1.0, 2.0]).assign(spectra | memory | by_lead | rest)


def player_data(path):
    """What the script of a page reads, refused if it is not strict JSON."""
    text = path.read_text(encoding="utf-8").split('id="fieldplayer-data">')[1].split("</script>")[0]
    return json.loads(text, parse_constant=pytest.fail)


def plates(scores):
    return [plate.file for plate in score_plates({"a": scores})]


@pytest.fixture(scope="module")
def pair():
    """Two entries and their reference; the second has no coarse run."""
    E, R = synthetic_ensemble()
    rival = synthetic_ensemble(members=4, seed=3)[0].drop_vars("co2_background")
    return [Entry("A", E, evaluate(E, R)), Entry("<script>B_2", rival, evaluate(rival, R))], R


@pytest.fixture(scope="module")
def report(pair, tmp_path_factory):
    return write_report(pair[0][:1], pair[1], tmp_path_factory.mktemp("report") / "new" / "report.html")


@pytest.fixture(scope="module")
def both(pair, tmp_path_factory):
    out = tmp_path_factory.mktemp("both") / "report.html"
    return write_report(*pair, out, fabricated_comparison(), fabricated_stations())


def picture(uri):
    head, data = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return imread(BytesIO(base64.b64decode(data, validate=True)))


def test_every_picture_is_inside_and_drawn(report, pair):
    images = Page(report).all("img")
    assert len(images) == STILLS + len(plates(pair[0][0].scores))
    for image in images:
        pixels = picture(image["src"])
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.02  # not blank
        assert len(image["alt"]) > 40


def test_nothing_is_asked_of_the_network(both):
    page = Page(both)
    kinds = ("src", "href", "srcset", "data", "poster", "action")
    loads = [v for _, attrs in page.tags for k, v in attrs.items() if k in kinds]
    assert loads and all(v.startswith("data:") for v in loads)
    assert not page.all("iframe")
    assert not re.search(r"@import|url\(|https?://|//cdn", both.read_text(encoding="utf-8"))
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in page.all("meta")


def test_figures_have_captions_and_tables_have_heads(report):
    page = Page(report)
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(page.all("img"))
    assert [a.get("lang") for a in page.all("html")] == ["en"]
    for word in ("Spread-skill ratio", "Mass-budget error", "Scores by lead time", "Provenance"):
        assert word in page.text
    for word in ("1 d", "2 d", "8 x 16 cells", "Maps through time"):
        assert word in page.text


def test_the_verdict_follows_the_numbers(pair):
    scores = pair[0][0].scores
    assert [t.state for t in tiles(scores)] == ["good", "good", "good", "plain"]
    assert tiles(scores)[0].value == f"{float(scores.crps_over_coarse_mae_overall):.3f}"
    bad = scores.assign(crps_over_coarse_mae_overall=1.4, spread_skill_overall=0.3, budget_error_max=2e-3)
    assert [t.state for t in tiles(bad)] == ["warn", "warn", "warn", "plain"]
    assert "too little spread" in tiles(bad)[1].text
    assert tiles(bad)[2].value == "2 × 10⁻³"
    assert tiles(scores.assign(budget_error_max=np.nan))[2].state == "plain"


def test_names_from_outside_are_escaped(both, tiny_ensemble, tmp_path):
    E, R = tiny_ensemble
    E.attrs["title"] = "<script>alert(1)</script>"
    out = write_report([Entry("</script><img>", E, evaluate(E, R))], R, tmp_path / "r.html")
    assert len(Page(out).all("script")) == len(Page(both).all("script")) == 2  # the data, the player
    assert all("src" in image for image in Page(out).all("img"))
    assert not Page(both).all("b")[0] and not Page(both).all("i")  # <b> of ours carries nothing
    assert "<b>50 %</b>" in Page(both).text and "<i>SPO</i>" in Page(both).text


def test_an_ensemble_without_rivals_has_a_report(pair, tmp_path):
    E, scores = pair[0][1].ensemble.drop_vars("co2_mean_network"), pair[0][1].scores
    few = scores.drop_vars([n for n in scores if "coarse" in n or "mean_network" in n or "spectrum" in n])
    out = write_report([Entry("a", E, few)], pair[1], tmp_path / "r.html")
    assert len(Page(out).all("img")) == STILLS + len(plates(few))
    titles = [panel["title"] for panel in player_data(out)["entries"][0]["maps"]]
    assert len(titles) == 5 and not any("coarse" in title for title in titles)


def test_every_optional_score_is_drawn(pair, tmp_path):
    entry = pair[0][0]
    scores = with_every_option(entry.scores)
    named = {"coverage_by_lead", "energy_score_by_lead", "continuity_by_level", "autocorrelation", "spectra"}
    assert named <= set(plates(scores))
    out = write_report([Entry("a", entry.ensemble, scores)], pair[1], tmp_path / "r.html")
    assert len(Page(out).all("img")) == STILLS + len(plates(scores))
    assert "Reliability index by level: 0.1 to 0.3. p-value of flatness: 0.25." in Page(out).text


def test_gaps_and_an_unknown_budget_have_a_report(pair, tmp_path):
    E, scores = pair[0][0].ensemble.copy(deep=True), pair[0][0].scores
    E.co2[2, 3, :, 4, 5] = np.nan
    unknown = scores.assign(budget_error=np.nan * scores.budget_error, budget_error_max=np.nan)
    assert "mass_budget" in plates(scores) and "mass_budget" not in plates(unknown)
    entries = [Entry("gaps", E, unknown), pair[0][1]]
    out = write_report(entries, pair[1], tmp_path / "r.html")
    assert len(player_data(out)["entries"]) == 2
    assert "not known" in Page(out).text


def test_no_entry_and_no_common_time_are_refused(pair, tmp_path):
    with pytest.raises(InputError, match="at least one entry, got none"):
        write_report([], pair[1], tmp_path / "r.html")
    E = pair[0][0].ensemble
    with pytest.raises(InputError, match="times in common, got none"):
        player({"a": E.isel(time=slice(4)), "b": E.isel(time=slice(4, 8))}, pair[1])


def test_cells_take_the_class_of_their_certainty(both):
    shown = [a["class"] for a in Page(both).all("td") if "class" in a]
    plain = ["cell better", "cell worse", "cell undecided few", "cell missing"]
    assert shown == [c for pairs in zip(plain, plain[::-1], strict=True) for c in pairs]
    text = Page(both).text
    assert "1.000†" in text and "† Fewer than 20 independent samples" in text and "90 % interval" in text
    assert "0.800†" not in text
    words = [a["title"] for a in Page(both).all("td") if "title" in a]
    assert words[0] == "better: difference −0.200 [−0.300, −0.100] ppm, 50 independent samples"
    assert Cell(1.0, 0.1, 0.0, 0.2, 30).verdict == "undecided"  # touching 0 decides nothing
    assert Cell(1.0, 0.1, 0.05, 0.2, np.nan).few


def test_stations_and_both_ensembles_are_named(both):
    page = Page(both)
    for word in ("MLO", "Bias at stations", "<script>B_2", "compared with", "All leads and levels"):
        assert word in page.text
    bare = fabricated_stations().drop_vars(["lat", "lon", "bias", "bias_overall"])
    assert has_map(fabricated_stations()) and not has_map(bare)


def test_files_for_papers(pair, tmp_path):
    scores = with_every_option(pair[0][0].scores)
    entries = [Entry("A", pair[0][0].ensemble, scores), pair[0][1]]
    paths = write_paper_files(entries, pair[1], tmp_path / "paper", fabricated_comparison())
    assert {p.name for p in paths} == {p.name for p in (tmp_path / "paper").iterdir()}
    assert {"fields_last_frame.png", "spectra.png", "comparison.png"} <= {p.name for p in paths}
    assert [p.name for p in paths if p.suffix == ".tex"] == ["scores.tex", "comparison.tex"]
    assert all(min(imread(p).shape[:2]) > 400 for p in paths if p.suffix == ".png")


@needs_browser
@pytest.mark.parametrize("width", [1280, 1160, 390])
def test_a_browser_shows_every_picture_and_asks_for_nothing(both, tmp_path, width):
    page = both.read_text(encoding="utf-8")
    found = told(page, SEEN, tmp_path, width)
    assert len(found["seen"]) == len(Page(both).all("img")) - STILLS
    for natural_width, natural_height, shown in found["seen"]:
        assert min(natural_width, natural_height) > 300 and shown > min(300, 0.8 * width)
    assert found["asked"] == 0
    assert found["overflow"] <= 0  # nothing sticks out sideways


@needs_browser
def test_broken_pictures_and_requests_are_caught(report, tmp_path):
    page = report.read_text(encoding="utf-8")
    head, tail = page.split("</noscript>")
    tail = re.sub('src="data:image/png;base64,.{40}', 'src="data:image/png;base64,', tail, count=1)
    assert [0, 0] in [size[:2] for size in told(head + "</noscript>" + tail, SEEN, tmp_path)["seen"]]
    assert "example.invalid" in told(page, REACHES_OUT, tmp_path)["refused"]
    assert "refused" not in told(page.replace(POLICY, "img-src * data:"), REACHES_OUT, tmp_path)


@needs_browser
def test_the_screenshot_is_not_blank_anywhere(report, tmp_path):
    shot = tmp_path / "shot.png"
    browse(report, tmp_path / "profile", f"--screenshot={shot}", "--window-size=1280,3300")
    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (3300, 1280)
    bands = [band.std() for band in np.array_split(pixels, 10)]
    assert min(bands[:9]) > 0.02, bands


def test_an_infinite_budget_error_has_a_figure(pair):
    """Members that change without any net flux."""
    scores = pair[0][0].scores
    infinite = scores.assign(budget_error=scores.budget_error.where(scores.lead_time == 0, np.inf))
    assert "mass_budget" in plates(infinite)
