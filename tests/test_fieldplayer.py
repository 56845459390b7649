"""The maps through time: bytes that hold the fields, and a player that a browser plays."""

import base64
import json

import numpy as np
import pytest

from gencarbon import fieldplayer
from gencarbon.evaluation import evaluate
from gencarbon.fieldplayer import BYTES, FEWEST_FRAMES, FRAMES, MISSING, Bytes, Plan, block_mean, player
from gencarbon.figures import snapshot
from gencarbon.report import Entry, write_report
from tests.browser import needs_browser, told
from tests.synthetic import synthetic_ensemble

PLAYED = """{
  const player = document.getElementById("fieldplayer"), part = name => player.querySelector(`[data-part="${name}"]`);
  const maps = () => [...player.querySelectorAll(".map:not([hidden]) canvas")];
  const look = () => ({pictures: maps().map(c => c.toDataURL()), date: part("date").textContent});
  const slide = n => { part("slider").value = n; part("slider").dispatchEvent(new Event("input")); };
  const looks = {last: look()};
  slide(1);
  looks.second = look();
  part("rows").children[1].click();
  looks.column = look();
  const box = maps()[0].getBoundingClientRect(), at = (i, n) => (i + .5) / n;
  maps()[0].dispatchEvent(new PointerEvent("pointermove",
    {clientX: box.left + box.width * at(5, 16), clientY: box.top + box.height * at(2, 8)}));
  looks.values = [...player.querySelectorAll(".map:not([hidden]) .value")].map(v => v.textContent);
  looks.where = part("where").textContent;
  const choice = part("entry");
  if (choice.options.length > 1) {
    choice.value = 1;
    choice.dispatchEvent(new Event("change"));
    looks.rival = look();
  }
  part("play").click();
  looks.playing = part("play").textContent;
  part("play").click();
  looks.paused = part("play").textContent;
  tell("looks", looks);
}"""


@pytest.fixture(scope="module")
def pair():
    """Two ensembles and their reference; the second has no coarse run."""
    E, R = synthetic_ensemble()
    return (E, synthetic_ensemble(members=4, seed=3)[0].drop_vars("co2_background")), R


def decoded(data, entry, title, row):
    """(frame, lat, lon) of a map as the script of the page reads it, and half a quantum of each frame."""
    panel = next(m for m in data["entries"][entry]["maps"] if m["title"] == title)
    shape = (len(data["dates"]), len(data["lat"]), len(data["lon"]))
    code = np.frombuffer(base64.b64decode(data["arrays"][panel["array"][row]]), np.uint8).reshape(shape)
    low, step = (np.array(panel[name][row])[:, None, None] for name in ("low", "step"))
    return low + step * code, step / 2


def test_bytes_hold_the_fields_to_half_a_quantum(pair):
    (a, b), R = pair
    data = json.loads(json.dumps(player({"a": a, "b": b}, R)))
    for entry, source in enumerate((a, b)):
        for frame in range(source.sizes["time"]):
            for row, maps in enumerate(snapshot(source, R, frame).values()):
                for title, field in maps.items():
                    values, half = decoded(data, entry, title, row)
                    error = np.abs(values[frame, ::-1] - field)  # the screen has the north on top
                    assert error.max() <= 1.0001 * half[frame].max() + 1e-9
                    if title == "Reference":  # an upside-down map is caught
                        assert np.abs(values[frame] - field).max() > 10 * half[frame].max()
    assert data["lat"][0] > data["lat"][-1]
    shared = [e["maps"][0]["array"] for e in data["entries"]]
    assert shared[0] == shared[1]  # the reference is kept once


def test_constant_fields_survive():
    made = Bytes.of(np.full((2, 3, 4), 415.0))
    assert (made.low == 415).all() and (made.step == 0).all() and (made.code == 0).all()


def test_cells_without_a_value_stay_without():
    field = np.arange(24.0).reshape(2, 3, 4)
    field[0, 1, 2] = field[1] = np.nan
    made = Bytes.of(field)
    assert ((made.code == MISSING) == np.isnan(field)).all()
    values = made.low[0] + made.step[0] * made.code[0]
    known = np.isfinite(field[0])
    assert np.abs(values - field[0])[known].max() <= made.step[0] / 2 + 1e-12
    assert np.isfinite([made.low, made.step]).all()


def test_plans_stay_within_frames_and_bytes():
    assert Plan.of(41, 32, 64, 14) == Plan(tuple(range(41)), 1)
    for frames, nlat, nlon, maps in (
        (400, 32, 64, 14),
        (41, 90, 180, 14),
        (41, 181, 360, 28),
        (3, 721, 1440, 14),
    ):
        plan = Plan.of(frames, nlat, nlon, maps)
        rows, columns = -(-nlat // plan.block), -(-nlon // plan.block)
        assert rows <= 90 and columns <= 180
        assert maps * rows * columns * len(plan.frames) <= BYTES and BYTES * 4 / 3 < 6e6
        assert min(frames, FEWEST_FRAMES) // 2 < len(plan.frames) <= FRAMES
        assert plan.frames[-1] == frames - 1 and len(set(np.diff(plan.frames))) <= 1


def test_blocks_average_and_large_grids_shrink(pair, monkeypatch):
    field = np.arange(35.0).reshape(5, 7)
    assert block_mean(field, 2)[0, 0] == field[:2, :2].mean() and block_mean(field, 2)[2, 3] == field[4, 6]
    monkeypatch.setattr(fieldplayer, "GRID", (4, 8))
    data = player({"a": pair[0][0]}, pair[1])
    assert (data["block"], len(data["lat"]), len(data["lon"])) == (2, 4, 8)
    truth = snapshot(pair[0][0], pair[1])["Column mean"]["Reference"][::-1]
    values, half = decoded(data, 0, "Reference", 1)
    assert np.abs(values[-1] - block_mean(truth, 2)).max() <= 1.0001 * half[-1].max()


def test_frames_are_read_one_at_a_time(tiny_ensemble, monkeypatch):
    E, R = tiny_ensemble
    read = []

    def note(block, block_info=None):
        read.append(block_info[0]["chunk-location"][1])
        return block

    lazy = E.co2.chunk(time=1)
    E["co2"] = lazy.copy(data=lazy.data.map_blocks(note, meta=np.empty((0,) * 5, E.co2.dtype)))

    def watched(ensemble, reference, frame):
        read.clear()
        maps = snapshot(ensemble, reference, frame)
        assert set(read) == {frame}
        return maps

    monkeypatch.setattr(fieldplayer, "snapshot", watched)
    assert len(player({"a": E}, R)["dates"]) == 9


@pytest.fixture(scope="module")
def page(pair, tmp_path_factory):
    entries = [Entry(name, E, evaluate(E, pair[1])) for name, E in zip("AB", pair[0], strict=True)]
    out = write_report(entries, pair[1], tmp_path_factory.mktemp("player") / "report.html")
    return out.read_text(encoding="utf-8")


@needs_browser
def test_the_player_plays(page, pair, tmp_path):
    (E, _), R = pair
    looks = told(page, PLAYED, tmp_path)["looks"]
    assert [looks[n]["date"] for n in ("last", "second")] == ["2001-01-03 00:00 UTC", "2001-01-01 06:00 UTC"]
    assert [len(looks[n]["pictures"]) for n in ("last", "second", "column", "rival")] == [7, 7, 7, 5]
    for one, other in (("last", "second"), ("second", "column")):
        assert all(a != b for a, b in zip(looks[one]["pictures"], looks[other]["pictures"], strict=True))
    assert looks["rival"]["pictures"][0] == looks["column"]["pictures"][0]  # the same reference
    assert looks["rival"]["pictures"][1] != looks["column"]["pictures"][1]
    assert ["Play" in looks["paused"], "Pause" in looks["playing"]] == [True, True]
    truth = [field[::-1][2, 5] for field in snapshot(E, R, 1)["Column mean"].values()]
    shown = [float(text.removesuffix(" ppm").replace("−", "-")) for text in looks["values"]]
    assert sorted(shown) == pytest.approx(sorted(truth), abs=0.05)
    assert looks["where"] == f"At {E.lat.values[::-1][2]:.1f}°N, {E.lon.values[5]:.1f}°E"


@needs_browser
def test_a_slider_that_moves_nothing_is_caught(page, tmp_path):
    broken = page.replace("state.frame = Number(slider.value);", "")
    assert broken != page
    looks = told(broken, PLAYED, tmp_path)["looks"]
    assert looks["last"] == looks["second"]
