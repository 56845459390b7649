"""Broken files, given to `gencarbon data check` as a user would: one clear line for each, or a repair that is stated; nothing is written."""

import os
import shutil
import subprocess
import sys
import warnings

import dask
import pytest

from gencarbon.cli import main
from gencarbon.terminal import console
from tests.broken_cases import CASES
from tests.broken_files import SOUND


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """Sound files of a layout in a folder of their own, each layout written once."""
    written = {}

    def paths(layout, folder):
        if layout not in written:
            home = tmp_path_factory.mktemp("sound")
            written[layout] = home, [path.relative_to(home) for path in SOUND[layout](home)]
        home, names = written[layout]
        shutil.copytree(home, folder, dirs_exist_ok=True)
        return [folder / name for name in names]

    return paths


@pytest.fixture
def check(monkeypatch, capsys):
    """`gencarbon data check FILE...` in this process: exit status and lines. Anything but an exit is a traceback."""

    def run(paths):
        monkeypatch.setattr(sys, "argv", ["gencarbon", "data", "check", *map(str, paths)])
        monkeypatch.setattr(console, "_width", 10**6)  # `say` breaks lines at the width of the terminal
        capsys.readouterr()
        quick = dask.config.set(scheduler="synchronous")  # threads cost more than such small files
        with quick, warnings.catch_warnings(), pytest.raises(SystemExit) as exit:
            warnings.simplefilter("ignore")
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err and not err
        return exit.value.code, out.splitlines()

    return run


def listing(folder):
    return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def broken(case, sound, folder):
    """The paths to give, of files that are broken now."""
    paths = sound(case.layout, folder)
    return case.breaks(paths) or paths


def test_there_are_cases_of_every_layout():
    assert len(CASES) >= 65 and {case.layout for case in CASES.values()} == set(SOUND)


@pytest.mark.parametrize("layout", SOUND)
def test_sound_files_pass(layout, sound, check, tmp_path):
    """So that every case below fails for its own reason."""
    status, lines = check(sound(layout, tmp_path))
    assert status == 0 and all(line.startswith("ok ") for line in lines), lines


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_gets_one_line(name, sound, check, tmp_path, monkeypatch):
    case = CASES[name]
    paths = broken(case, sound, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    status, lines = check(paths)
    assert listing(tmp_path) == before
    case.judge(status, lines, paths)


def test_a_user_at_a_terminal_sees_the_same(sound, tmp_path):
    """Three broken files in one call, as a process of its own takes seconds to start."""
    names = ["a spoiled block", "all of bad quality", "a chunk lost"]
    given = {name: broken(CASES[name], sound, tmp_path / f"{k}") for k, name in enumerate(names)}
    command = [
        sys.executable,
        "-m",
        "gencarbon",
        "data",
        "check",
        *(str(p) for some in given.values() for p in some),
    ]
    env = os.environ | {"PYTHONWARNINGS": "ignore", "COLUMNS": "5000"}
    ran = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    lines = ran.stdout.splitlines()
    assert len(lines) == len(names) and not ran.stderr and "Traceback" not in ran.stdout
    for name, paths in given.items():
        mine = [line for line in lines if any(str(path) in line for path in paths)]
        CASES[name].judge(ran.returncode, mine, paths)
