"""Which scenarios there are and what each asks, read from the sources without importing them.

A scenario is a module of this folder that assigns `SPEC`. Its question is the sentence of its
docstring that ends with the first question mark.
"""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent


def questions(folder: Path = HERE) -> dict[str, str]:
    """Question by scenario name, in alphabetical order."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_bytes())
        if _assigns_spec(tree):
            found[path.stem] = first_question(ast.get_docstring(tree) or "")
    return found


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
