"""Configs: typed, frozen, and a typo is an error."""

import importlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from gencarbon.config import KINDS, Config, load_any, register
from gencarbon.data.settings import SplitConfig
from gencarbon.errors import InputError

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


class Inner(Config):
    days: int


class Outer(Config):
    rate: float = 1e-3
    splits: tuple[Inner, ...] = ()
    name: str


def load(tmp_path, text):
    path = tmp_path / "one.yaml"
    path.write_text(text)
    return Outer.load(path)


def test_values_and_defaults(tmp_path):
    outer = load(tmp_path, "name: a\nrate: 2\nsplits: [{days: 3}]")
    assert outer == Outer(name="a", rate=2.0, splits=(Inner(days=3),))
    with pytest.raises(ValidationError, match="frozen"):
        outer.name = "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\nrat: 2",
            r"one.yaml: expected keys among \['name', 'rate', 'splits'\].*'rat'; did you mean 'rate'",
        ),
        (
            "name: a\nsplits: [{dayz: 3, days: 3}]",
            r"among \['days'\], got the unknown key 'splits.0.dayz'.*'days'",
        ),
        ("name: a\nqqqqqq: 2", "unknown key 'qqqqqq'; remove it"),
        ("rate: 2", "expected a value for 'name', got none; add the key"),
        ("name: a\nrate: '2'", "rate: input should be a valid number, got '2'"),
        ("- name", "expected a mapping `key: value`, got list"),
        ("name: [", "expected YAML with plain values"),
        ("name: !!python/object/apply:os.getcwd []", "expected YAML with plain values"),
    ],
)
def test_a_mistake_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_powers_of_ten_are_numbers_as_they_are_to_everybody_else(tmp_path):
    for text, value in (("4e-4", 4e-4), ("1E3", 1e3), ("-2.5e+2", -250.0), (".5e1", 5.0)):
        assert load(tmp_path, f"name: a\nrate: {text}\n").rate == value
    assert load(tmp_path, "name: 3e\n").name == "3e"  # and nothing else is


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none.yaml: expected a readable YAML file, got No such file"):
        Outer.load(tmp_path / "none.yaml")


def test_an_unknown_kind(tmp_path):
    (tmp_path / "one.yaml").write_text("kind: nonsense")
    with pytest.raises(InputError, match=r"expected a kind of .*, got 'nonsense'; set `kind:`"):
        load_any(tmp_path / "one.yaml")


def test_a_kind_is_registered_once(monkeypatch):
    monkeypatch.setitem(KINDS, "outer", Outer)
    with pytest.raises(ValueError, match="kind 'outer' is already Outer"):
        register("outer")(Inner)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_loads(path):
    for module in (ROOT / "gencarbon").rglob("*.py"):  # importing the module registers its kinds
        if '\n@register("' in module.read_text():
            importlib.import_module(".".join(module.relative_to(ROOT).with_suffix("").parts))
    assert load_any(path).model_dump()["kind"] in KINDS


def test_dates_are_dates_before_any_work():
    split = {"name": "test", "days": 3, "seed": 0}
    assert SplitConfig.parse(split | {"start": "2003-05-01T06"}).start == "2003-05-01T06"
    for start in ("20o1", "", "NaT"):
        with pytest.raises(InputError, match="start: .*"):
            SplitConfig.parse(split | {"start": start})
