"""The items of STRESS-DES, and what a report holds of each: text, a list, and what is missing.

The checklist is that of T. Monks, C. S. M. Currie, B. S. Onggo, S. Robinson, M. Kunc and S. J. E.
Taylor, Strengthening the reporting of empirical simulation studies: introducing the STRESS
guidelines, Journal of Simulation 13 (2019), doi:10.1080/17477778.2018.1442155; its 20 items are 24
with the five parts of 2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SECTIONS = {
    "1": "Objectives",
    "2": "Logic",
    "3": "Data",
    "4": "Experimentation",
    "5": "Implementation",
    "6": "Code access",
}
TITLES = {
    "1.1": "Purpose of the model",
    "1.2": "Model outputs",
    "1.3": "Experimentation aims",
    "2.1": "Base model overview diagram",
    "2.2": "Base model logic",
    "2.3": "Scenario logic",
    "2.4": "Algorithms",
    "2.5.1": "Components: entities",
    "2.5.2": "Components: activities",
    "2.5.3": "Components: resources",
    "2.5.4": "Components: queues",
    "2.5.5": "Components: entry and exit points",
    "3.1": "Data sources",
    "3.2": "Pre-processing",
    "3.3": "Input parameters",
    "3.4": "Assumptions",
    "4.1": "Initialisation",
    "4.2": "Run length",
    "4.3": "Estimation approach",
    "5.1": "Software or programming language",
    "5.2": "Random sampling",
    "5.3": "Model execution",
    "5.4": "System specification",
    "6.1": "Computer model sharing statement",
}


@dataclass(frozen=True)
class Item:
    """One item of the report.

    number: a key of TITLES; text: paragraphs; points: a list below them
    drawn: lines that stay as they are (a diagram)
    gaps: what the item asks for and the run does not tell
    """

    number: str
    text: Sequence[str] = ()
    points: Sequence[str] = ()
    drawn: Sequence[str] = ()
    gaps: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.number not in TITLES:
            raise ValueError(f"number ({self.number}) must be one of {', '.join(TITLES)}")

    @property
    def title(self) -> str:
        """What the checklist calls it."""
        return TITLES[self.number]
