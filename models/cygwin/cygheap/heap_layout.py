"""What the runtime must know of a cygheap's layout, whatever the era and the word size.

The allocators have more to say about theirs (`layout`, `modern_layout`); what reads and writes the
heap's *contents* asks for nothing beyond this.  Offsets count from the heap's base.

Source: CYGWIN.md §a8, §b4; MODERN.md §1, §5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import ClassVar, Literal, NamedTuple


class ExecInfo(NamedTuple):
    """How cygheap_exec_info lies in memory.

    words: all of it, `length` of them -- constant
    argc .. pinfo: which of the words it is, None if it is not there -- constant
    """

    words: Struct
    length: int
    argc: int
    argv: int
    envc: int
    envp: int
    pinfo: int | None

    def packed(self, argc: int, argv: int, envc: int, envp: int, pinfo: int) -> bytes:
        """Its bytes."""
        values = [0] * self.length
        values[self.argc], values[self.argv] = argc, argv
        values[self.envc], values[self.envp] = envc, envp
        if self.pinfo is not None:
            values[self.pinfo] = pinfo
        return self.words.pack(*values)


@dataclass(frozen=True, kw_only=True)
class HeapLayout:
    """One layout of the cygheap. Every field is *constant*.

    fhandler_bytes: allocation of one fhandler by kind
    heapbase_offset: user heap pointer that an exec child clears; None where it is elsewhere
    console_fds_offset: None where fdtab does not have it

    The same in all layouts with pointers of one size, as those of 2001 have them:
    word_code, word_bytes: a pointer, for `array` and in bytes
    entry_bytes, user_offset_bytes: {bucket or link, prev}; from block start to user data
    fhandler_words: class, flags, handle, second handle, Win32 name, name, protocol info
    exec_info, env_spare: of an exec; places in its environment vector beyond the variables
    exec_type, argv_type: HEAP_ types of the exec information and of vectors that are passed on
    environment_first: who passed a set on and lives frees its environment before its argv
    root_record: names with lengths; wide_names: Win32 names have 2 bytes a character
    first_blocks: (header word, type, count, size) of what is there before the fd table
    cwd_first: (distance from cwd_offset, size) of a first process's directory, in its order
    user_strings, sid_bytes: of a first process's user; no SID: 0
    touched_bytes: how much of a commit is soon touched; None for all of it
    socket_info_bytes: protocol information of a socket; 0 where its handle is inherited
    """

    name: str
    commit_id: str
    header_bytes: int
    cygheapsize: int
    buckets_offset: int
    root_offset: int
    user_offset: int
    umask_offset: int
    cwd_offset: int
    fdtab_offset: int
    fhandler_bytes: Mapping[str, int]
    heapbase_offset: int | None = None
    console_fds_offset: int | None = None
    chain_offset: int = 0

    word_code: ClassVar[Literal["I", "Q"]] = "I"
    word_bytes: ClassVar[int] = 4
    entry_bytes: ClassVar[int] = 8
    user_offset_bytes: ClassVar[int] = 16
    fhandler_words: ClassVar[Struct] = Struct("<IIIIIII")
    exec_info: ClassVar[ExecInfo] = ExecInfo(Struct("<IIIIIII"), 7, 2, 3, 4, 5, 6)
    env_spare: ClassVar[int] = 1
    exec_type: ClassVar[int] = 9
    argv_type: ClassVar[int] = 7
    environment_first: ClassVar[bool] = False
    root_record: ClassVar[Struct] = Struct("<260sI260sI")
    wide_names: ClassVar[bool] = False
    cwd_win32_bytes: ClassVar[int] = 4
    first_blocks: ClassVar[tuple[tuple[int, int, int, int], ...]] = ()
    cwd_first: ClassVar[tuple[tuple[int, int], ...]] = ((0, 262), (4, 10))
    user_strings: ClassVar[tuple[bytes, ...]] = (b"cgf", b"TROLL", b"TROLL")
    sid_bytes: ClassVar[int] = 0
    socket_info_bytes: ClassVar[int] = 372
    touched_bytes: ClassVar[int | None] = None

    @property
    def reserve_bytes(self) -> int:
        """CYGHEAPSIZE in whole pages: the most that can ever be committed [bytes]."""
        return (self.cygheapsize + 4095) & -4096

    @property
    def first_fd_offset(self) -> int:
        """fdtab.first_fd, which a fresh header has as 3."""
        return self.fdtab_offset + 8

    @property
    def held_offset(self) -> int | None:
        """fdtab's table that is on hold; None where there is no vfork."""
        return self.fdtab_offset + 4

    @property
    def socket_count_offset(self) -> int:
        """fdtab's count of descriptors that need a fix-up before the child runs."""
        return self.fdtab_offset + 12

    @property
    def fd_count_offset(self) -> int:
        """fdtab's number of slots."""
        return self.fdtab_offset + (16 if self.console_fds_offset is None else 20)

    @property
    def shared_offset(self) -> int:
        """The handle of the shared section, behind umask."""
        return self.umask_offset + 4

    @property
    def init_dwords(self) -> tuple[tuple[int, int], ...]:
        """(offset, value) of each 32-bit word that is not zero in a fresh header."""
        return ((self.first_fd_offset, 3),)

    @property
    def cwd_win32_offset(self) -> int:
        """The Win32 name of the working directory; its POSIX name is at `cwd_offset`."""
        return self.cwd_offset + self.cwd_win32_bytes

    @cached_property
    def user_words(self) -> tuple[int, ...]:
        """Header words that point to the user's strings."""
        return tuple(self.user_offset + i * self.word_bytes for i in range(4))

    @cached_property
    def block_words(self) -> tuple[int, ...]:
        """Header words that point to blocks of the heap, the fd table's and the chain's apart."""
        first = (offset for offset, *_ in self.first_blocks)
        return self.cwd_offset, self.cwd_win32_offset, self.root_offset, *self.user_words, *first
