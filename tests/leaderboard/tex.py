"""LaTeX as a reader compiles it; a test that needs it is skipped, saying so, where TeX or a package it uses is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = ("booktabs", "graphicx", "longtable", "textcomp")


def typeset(folder: Path, body: str, bibliography: str | None = None) -> str:
    """The log of pdflatex on a document with this body, and after BibTeX where entries are given; fails on any error."""
    if shutil.which("pdflatex") is None or (bibliography is not None and shutil.which("bibtex") is None):
        pytest.skip("pdflatex and bibtex are not installed")
    for package in PACKAGES:
        found = subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True, text=True)
        if found.returncode:
            pytest.skip(f"the TeX installed here lacks {package}")
    source = folder / "paper.tex"
    preamble = f"\\documentclass[a4paper]{{article}}\\usepackage[T1]{{fontenc}}\\usepackage{{{','.join(PACKAGES)}}}"
    end = "" if bibliography is None else "\\bibliographystyle{plain}\\bibliography{works}\n"
    source.write_text(f"{preamble}\n\\begin{{document}}\n{body}\n{end}\\end{{document}}\n", encoding="utf-8")
    steps = [["pdflatex", "-interaction=nonstopmode", "-halt-on-error", source.name]]
    if bibliography is not None:
        (folder / "works.bib").write_text(bibliography, encoding="utf-8")
        steps = [steps[0], ["bibtex", source.stem], steps[0], steps[0]]
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0 and "Warning--" not in done.stdout, (step, done.stdout[-2000:])
    return (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
