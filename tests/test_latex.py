"""LaTeX tables: escaped, balanced, and compiled where a LaTeX is installed."""

import re
import shutil
import subprocess

import pytest

from gencarbon.evaluation import evaluate
from gencarbon.latex import SPECIAL, comparison_tex, escape, number, scores_tex
from tests.synthetic import synthetic_ensemble
from tests.test_report import fabricated_comparison

ENGINE = next((p for n in ("tectonic", "pdflatex") if (p := shutil.which(n))), None)
NAME = r"100 % of {A_1} & \input{x} $ # ~ ^"


@pytest.fixture(scope="module")
def tables():
    """The tables of two ensembles, one with a name made to break LaTeX."""
    E, R = synthetic_ensemble()
    scores = evaluate(E, R)
    comparison = fabricated_comparison()
    return {"scores": scores_tex({NAME: scores, "B": scores}), "comparison": comparison_tex(comparison, NAME)}


def imbalance(text):
    """What does not close: braces, environments, dollars, or rows of unequal width."""
    found = []
    bare = re.sub(r"(?m)(?<!\\)%.*$", "", text).replace(r"\\", "")
    bare = re.sub(r"\\[{}$&%#_]", "", bare)
    if bare.count("{") != bare.count("}") or bare.count("$") % 2:
        found.append("braces or dollars")
    if re.findall(r"\\begin\{(\w+)", text) != re.findall(r"\\end\{(\w+)", text)[::-1]:
        found.append("environments")
    columns = len(re.search(r"\\begin\{tabular\}\{(l r*|lr*)\}", text).group(1))
    rows = [r for r in bare.split("toprule")[1].split("bottomrule")[0].splitlines() if "&" in r]
    if {row.count("&") + 1 for row in rows} != {columns}:
        found.append("columns")
    return found


def test_special_characters_print_as_they_are():
    assert escape("a_b & 50 %") == r"a\_b \& 50 \%"
    assert (
        escape("\\input{x}\n$1^2~#")
        == r"\textbackslash{}input\{x\} \$1\textasciicircum{}2\textasciitilde{}\#"
    )
    assert escape("CO₂ † −1") == r"CO\textsubscript{2} \textdagger{} $-$1"
    assert not set("&%$#_{}~^\\") - SPECIAL.keys()
    assert [number(t) for t in ("+0.020", "-1.5", "1 d", "–")] == ["$+0.020$", "$-1.5$", "1 d", "--"]


def test_tables_are_balanced_and_imbalance_is_caught(tables):
    for text in tables.values():
        assert not imbalance(text)
        assert imbalance(text.replace(r"\end{tabular}", ""))
        assert imbalance(text.replace(r"\emph{", r"\emph", 1).replace(r"\textbf{", r"\textbf", 1))
        assert imbalance(text.replace(" & ", " ", 1))


def test_tables_hold_leads_levels_and_verdicts(tables):
    scores, comparison = tables["scores"], tables["comparison"]
    assert [scores.count(f"\n{row} & ") for row in ("1 d", "2 d", "level 1", "level 3", "all")] == [2] * 5
    assert scores.count(r"\emph{") == 2 and r"\input" not in scores.replace(r"\textbackslash{}input", "")
    assert r"\textbf{0.800} {\footnotesize[$-0.300$, $-0.100$]}" in comparison
    assert r"\textit{1.300}" in comparison and r"1.000\textdagger{}" in comparison
    assert r"\textless{}b\textgreater{}50 \%" in comparison and "Fewer than 20" in comparison


@pytest.mark.skipif(ENGINE is None, reason="no LaTeX on this machine")
def test_tables_compile(tables, tmp_path):
    body = "\n".join(tables.values())
    packages = r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{textcomp,booktabs}"
    page = rf"\documentclass{{article}}{packages}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "paper.tex").write_text(page, encoding="utf-8")
    quiet = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in ENGINE else []
    subprocess.run([ENGINE, *quiet, "paper.tex"], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert (tmp_path / "paper.pdf").stat().st_size > 1000
