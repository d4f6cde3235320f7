"""Text of others where it might be taken for something else: a formula in a spreadsheet, a command of a terminal."""

from __future__ import annotations

import re
from typing import Any, TextIO

FORMULA = tuple("=+-@\t\r")
# Control characters but newline and tab, marks that turn the direction of writing, and halves of UTF-16 pairs (a file's name
# that is no UTF-8 holds these). U+2028 and U+2029 part lines.
_SPANS = (
    (0x00, 0x08),
    (0x0B, 0x1F),
    (0x7F, 0x9F),
    (0x61C, 0x61C),
    (0x200E, 0x200F),
    (0x2028, 0x202E),
    (0x2066, 0x2069),
)
_UNSEEN = re.compile(
    "[" + "".join(f"{chr(a)}-{chr(b)}" for a, b in (*_SPANS, (0xD800, 0xDFFF), (0xFEFF, 0xFEFF))) + "]"
)
_MOVES = re.compile("\n*|(\x1b\\[A)*")  # what tqdm writes, alone, to reach the line of a second bar


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe. Numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA) else value


def csv_text(cell: str) -> str:
    """The text of a cell as `csv_cell` was given it."""
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'").startswith(FORMULA) else cell


def printable(text: str) -> str:
    """Text without an effect on a terminal: what cannot be seen is written out, as in \\u001b (which JSON reads back)."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PlainStream:
    """A text stream that writes `printable` text and is otherwise the one below it; a bar's carriage return stays."""

    def __init__(self, below: TextIO) -> None:
        self.below = below

    def write(self, text: str) -> int:
        """Write; returns the characters given."""
        if isinstance(text, str) and not _MOVES.fullmatch(text):
            start = "\r" if text.startswith("\r") else ""
            self.below.write(start + printable(text.removeprefix(start)))
        else:
            self.below.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)
