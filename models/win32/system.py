"""The two kinds of Windows as parameter sets of one machine.

Source: CYGWIN.md §d (`map_view_of_file_ex_sucks`), `data/win32/README.md` "Where Wine is not
Windows", and the published memory maps of Windows NT and 9x; Microsoft's "Memory limits".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HIGHEST_64 = 0x7FFFFFFE0000  # end of the user half of a 64-bit process, Windows 8.1 and later


@dataclass(frozen=True, slots=True)
class System:
    """What differs between NT and 9x.

    map_view_of_file_ex_sucks: a view cannot be put at a private address -- constant
    lowest, highest: addresses of private allocations -- constant
    view_lowest, view_highest: where the system puts views -- constant
    first_pid, pid_step: process and thread ids (assumed; real ones have no pattern to rely on)
    """

    name: str
    map_view_of_file_ex_sucks: bool
    lowest: int
    highest: int
    view_lowest: int
    view_highest: int
    first_pid: int
    pid_step: int

    def of_words(self, word_bytes: int) -> System:
        """The same system for programs whose pointers have so many bytes: 4, or 8 for 64-bit ones.

        Windows 9x never had 64-bit programs; there it is a thought experiment.
        """
        if word_bytes == 4:
            return self
        views = HIGHEST_64 if self.view_highest == self.highest else self.view_highest
        return replace(self, highest=HIGHEST_64, view_highest=views)


NT = System("nt", False, 0x10000, 0x7FFE0000, 0x10000, 0x7FFE0000, 0x100, 4)
# Views live in the arena above 2 GB that all processes share; ids have the top bit set.
WIN9X = System("9x", True, 0x400000, 0x7FFE0000, 0x80000000, 0xC0000000, 0xFFF00000, 0x40)

SYSTEMS = {"nt": NT, "9x": WIN9X}
