"""Tables for papers in LaTeX, with booktabs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from gencarbon.figures_comparison import FEW, Cell, cells, confidence
from gencarbon.figures_tables import by_lead, by_level, columns_of, overall, titles

Rows = Sequence[Sequence[str]]

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "°": r"\textdegree{}",
    "†": r"\textdagger{}",
    "–": "--",
    "—": "---",
    "²": r"\textsuperscript{2}",
    "₂": r"\textsubscript{2}",
    "µ": r"\textmu{}",
}
MARKS = {"better": r"\textbf{%s}", "worse": r"\textit{%s}", "undecided": "%s", "missing": "%s"}


def escape(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(SPECIAL.get(c, c) for c in " ".join(text.split()))


def number(text: str) -> str:
    """A figure with a real minus sign; text that is no figure is escaped."""
    return f"${text}$" if text[:1] in "+-" and text[1:2].isdigit() else escape(text)


def table(
    head: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Rows]]],
    caption: str,
    name: str,
    notes: str = "",
) -> str:
    r"""A floating table. groups: (heading or "", blocks of rows parted by a rule); cells are LaTeX already.

    `head`, headings, `caption` and `notes` are plain text. The paper needs \usepackage{booktabs}.
    """
    width = len(head)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
    ]
    lines += [rf"\label{{tab:{name}}}", rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
    lines.append(_line([escape(cell) for cell in head]))
    for heading, blocks in groups:
        if heading:
            lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(heading)}}}}} \\"]
        for block in blocks:
            lines += [r"\midrule", *(_line(row) for row in block)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += ["", r"\smallskip", rf"\footnotesize {escape(notes)}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _line(row: Sequence[str]) -> str:
    return " & ".join(row) + r" \\"


def scores_tex(scores: Mapping[str, xr.Dataset]) -> str:
    """Scores by whole day of lead, by level and pooled, as a LaTeX table; one group per entry."""
    columns = columns_of(scores.values())
    groups = []
    for name, ds in scores.items():
        blocks = [by_lead(ds, columns), by_level(ds, columns), [overall(ds, columns, "all")]]
        cells = [[[number(cell) for cell in row] for row in block] for block in blocks if block]
        groups.append((name if len(scores) > 1 else "", cells))
    caption = "Scores of the CO₂ ensemble against reference transport. Level 1 touches the surface."
    return table(["", *titles(columns)], groups, caption, "scores")


def comparison_tex(comparison: xr.Dataset, name: str) -> str:
    """A comparison as a LaTeX table: ratio, and interval of the difference; bold better, italic worse."""
    lines = cells(comparison)
    rows = [[escape(label), *(_marked(cell) for cell in line)] for label, line in lines]
    caption = (
        f"Score of {name} over the score of its rival and, in brackets, the {confidence(comparison)} interval "
        "of the difference of the scores. Bold: better; italic: worse; upright: undecided."
    )
    few = any(cell.few for _, line in lines for cell in line)
    notes = f"† Fewer than {FEW} independent samples: the interval itself is uncertain." if few else ""
    columns = ["", *(str(c) for c in comparison["column"].values)]
    return table(columns, [("", [rows])], caption, "comparison", notes)


def _marked(cell: Cell) -> str:
    text = MARKS[cell.verdict] % escape(cell.value)
    if cell.verdict == "missing":
        return text
    return rf"{text} {{\footnotesize[${cell.signed(cell.low)}$, ${cell.signed(cell.high)}$]}}"
