"""Which scenarios there are and what each asks, read from the sources without importing them.

A scenario is a module of this folder that assigns `SPEC`. Its question is the sentence of its
docstring that ends with the first question mark; its paragraph is the text that SPEC is given.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Entry(NamedTuple):
    """One scenario. paragraph: of the document, "" for none -- output"""

    name: str
    question: str
    paragraph: str


def entries(folder: Path = HERE) -> list[Entry]:
    """All scenarios, in alphabetical order."""
    found = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_bytes())
        if _assigns_spec(tree):
            question = first_question(ast.get_docstring(tree) or "")
            found.append(Entry(path.stem, question, _paragraph(tree)))
    return found


def questions(folder: Path = HERE) -> dict[str, str]:
    """Question by scenario name, in alphabetical order."""
    return {entry.name: entry.question for entry in entries(folder)}


def first_question(docstring: str) -> str:
    """The sentence that ends with the first question mark; the first line where there is none."""
    text, mark, _ = " ".join(docstring.split()).partition("?")
    if not mark:
        return docstring.strip().partition("\n")[0]
    start = max(text.rfind(stop) + len(stop) if stop in text else 0 for stop in (". ", "! "))
    return text[start:] + mark


def _assigns_spec(tree: ast.Module) -> bool:
    targets: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets.append(node.target)
    return any(isinstance(target, ast.Name) and target.id == "SPEC" for target in targets)


def _paragraph(tree: ast.Module) -> str:
    """The literal that a call of Spec at the top level is given as `paragraph`."""
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "Spec":
            for word in value.keywords:
                if word.arg == "paragraph" and isinstance(word.value, ast.Constant):
                    return str(word.value.value)
    return ""
