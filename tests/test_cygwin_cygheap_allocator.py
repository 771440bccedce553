"""The allocator: where blocks go, what survives, how eras differ, how it dies."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.cygheap.allocator import Cygheap, EndlessWalk, HeapFatal, UndefinedAccess
from models.cygwin.cygheap.layout import ERAS, A, B, C, HeapType, R
from models.win32.errors import ERROR_COMMITMENT_LIMIT, AccessViolation, Win32Error
from models.win32.memory import Memory

BASE = 0x61100000
GOLDEN = Path(__file__).parent / "data" / "golden"
ALL = pytest.mark.parametrize("era", ERAS.values(), ids=lambda era: era.name)


def fresh(era) -> Cygheap:
    return Cygheap.first_process(era, Memory(era.reserve_bytes), BASE)


def child_of(parent: Cygheap, execed: bool) -> Cygheap:
    memory = Memory(parent.era.reserve_bytes)
    memory.commit(0, parent.max)
    memory.copy_from(parent.memory, 0, 0, parent.max)
    heads = None if execed else parent.buckets
    child = Cygheap.attach(parent.era, memory, BASE, parent.max, heads)
    child.walk(execed)
    return child


def image(heap: Cygheap) -> tuple[bytes, int, int, int, list[int]]:
    """Everything that must be equal between two ways to do the same."""
    committed = len(heap.memory.pages)
    whole = heap.memory.read(0, committed << 12)
    return whole, committed, heap.max, heap.lock_acquires, heap.heads()


# -- layout ---------------------------------------------------------------------------------------


def test_sizes_and_offsets_are_the_compiled_ones():
    assert [(e.header_bytes, e.cygheapsize) for e in (A, C, R, B)] == [
        (88, 5_123_160),
        (220, 5_123_292),
        (236, 5_123_308),
        (240, 5_107_312),
    ]
    assert [e.first_fd_offset for e in (A, C, B)] == [76, 204, 224]
    assert A.reserve_bytes == 5_124_096
    assert B.fhandler_bytes["pipe"] == 72
    assert R.fhandler_bytes == A.fhandler_bytes


def test_a_variant_is_a_replacement():
    older = replace(A, header_bytes=92, cygheapsize=5_123_164)
    assert fresh(older).max == 92
    assert older.bucket_table == A.bucket_table
    with pytest.raises(ValueError, match=r"header_bytes \(91\) must be"):
        replace(A, header_bytes=91)


def loop_search(n: int, slack: int, signed: bool) -> int:
    """The C loop, literally."""
    want = (n + 8 + slack) & 0xFFFFFFFF

    def number(x):
        return x - (1 << 32) if signed and x >> 31 else x

    b, size = 3, 8
    while size and number(size) < number(want):
        b, size = b + 1, (size << 1) & 0xFFFFFFFF
    return b


@given(
    st.integers(0, 0xFFFFFFFF)
    | st.builds(lambda b, d: ((1 << b) + d) & 0xFFFFFFFF, st.integers(0, 32), st.integers(-32, 32))
)
def test_the_search_finds_what_the_loop_finds(n):
    for era in ERAS.values():
        found = era.search(n)[0]
        assert found == loop_search(n, era.search_slack_bytes, era.search_signed)


@pytest.mark.parametrize(
    ("n", "in_a", "in_b"), [(20, 40, 72), (52, 72, 136), (116, 136, 264), (0, 24, 24)]
)
def test_bytes_that_a_request_takes(n, in_a, in_b):
    for era, taken in ((A, in_a), (B, in_b), (C, in_b), (R, in_b)):
        heap = fresh(era)
        heap.cmalloc(HeapType.HEAP_BUF, n)
        assert heap.max - era.header_bytes == taken


# -- one process ----------------------------------------------------------------------------------


@ALL
def test_a_fresh_heap_has_one_page_and_one_word(era):
    heap = fresh(era)
    assert (heap.max, heap.memory.committed_pages()) == (era.header_bytes, 1)
    words = [heap.memory.read32(o) for o in range(0, 4096, 4)]
    assert [(4 * i, w) for i, w in enumerate(words) if w] == [(era.first_fd_offset, 3)]
    assert list(heap.chain()) == []


@ALL
def test_the_block_freed_last_is_reused_first(era):
    heap = fresh(era)
    a, b, _ = (heap.cstrdup1(b"x" * 20) for _ in range(3))
    heap.cfree(a)
    heap.cfree(b)
    assert [heap.cmalloc(1, 21) for _ in range(2)] == [b, a]


@ALL
def test_realloc_copies_keeps_the_type_and_frees(era):
    heap = fresh(era)
    old = heap.cmalloc(HeapType.HEAP_1_ARGV, 16)
    heap.store(old, bytes(range(16)))
    assert heap.crealloc(old, 17) == old
    new = heap.crealloc(old, 200)
    assert new != old
    assert heap.load(new, 16) == bytes(range(16))
    assert heap.memory.read32(new - BASE - 8) == HeapType.HEAP_1_ARGV
    assert heap.cmalloc(1, 16) == old


def test_realloc_counts_locks_as_the_code_takes_them():
    heap = fresh(B)
    user = heap.crealloc(0, 16)
    assert heap.lock_acquires == 1
    heap.crealloc(user, 24)  # in place
    assert heap.lock_acquires == 1
    heap.crealloc(user, 25)
    assert heap.lock_acquires == 3


def test_freeing_a_free_block_follows_its_word_as_an_index():
    heap = fresh(B)
    first, user = heap.cmalloc(1, 10), heap.cmalloc(1, 10)
    heap.cfree(first)
    heap.cfree(user)
    with pytest.raises(AccessViolation) as caught:
        heap.cfree(user)  # its word is the address of `first`
    assert caught.value.address == (BASE + 4 + 4 * (first - 16)) & 0xFFFFFFFF


def test_growth_asks_for_pages_and_dies_after_the_top_moved():
    memory = Memory(B.reserve_bytes)
    asked = []

    def commit(offset, size_bytes):
        asked.append((offset, size_bytes))
        if len(asked) == 3:
            raise Win32Error(ERROR_COMMITMENT_LIMIT, "VirtualAlloc", "full")
        memory.commit(offset, size_bytes)

    heap = Cygheap.first_process(B, memory, BASE, commit)
    heap.cmalloc(1, 5000)
    with pytest.raises(HeapFatal, match="couldn't commit memory for cygwin heap, %E"):
        heap.cmalloc(1, 3000)
    assert asked == [(240, 1), (240, 8200), (8440, 4104)]
    assert heap.max == sum(asked[-1])


def test_a_page_that_starts_at_the_top_is_committed_by_the_next_call():
    heap = fresh(replace(B, header_bytes=248))
    while heap.max < 4096:
        heap.csbrk(8)
    assert (heap.max, heap.memory.committed_pages()) == (4096, 1)
    heap.csbrk(8)
    assert heap.memory.committed_pages() == 2


def test_era_a_reads_past_its_array_for_a_gigabyte():
    with pytest.raises(UndefinedAccess):
        fresh(A).cmalloc(3, 0x3FFFFFF5)


def test_a_cyclic_chain_never_ends():
    heap = fresh(B)
    user = heap.cmalloc(3, 20)
    heap.memory.write32(user - BASE - 12, user - 16)
    with pytest.raises(EndlessWalk, match="chain is cyclic"):
        heap.walk()


def test_a_chain_that_leaves_the_heap_faults_where_it_points():
    heap = fresh(B)
    user = heap.cmalloc(3, 20)
    heap.memory.write32(user - BASE - 12, 0x12345678)
    with pytest.raises(AccessViolation) as caught:
        heap.walk()
    assert caught.value.address == 0x12345678


# -- generations ----------------------------------------------------------------------------------


def test_an_exec_child_forgets_the_user_heap_only_where_it_is_in_the_header():
    for era in (B, R):
        heap = fresh(era)
        heap.memory.write32(132, 0x0A010000)
        assert child_of(heap, True).memory.read32(132) == 0
    heap = fresh(C)
    heap.memory.write32(132, heap.cmalloc(1, 528))  # root is there
    assert child_of(heap, True).memory.read32(132) == heap.memory.read32(132)


@ALL
def test_a_tagged_block_lives_for_two_execs(era):
    heap = fresh(era)
    heap.cstrdup(b"stays")
    user = heap.cstrdup1(b"goes")
    once = child_of(heap, True)
    assert [entry.type for entry in once.chain()] == [106, 1]
    twice = child_of(once, True)
    assert twice.cmalloc(1, 5) == user


@ALL
def test_free_lists_survive_an_exec_only_in_the_header(era):
    heap = fresh(era)
    user = heap.cmalloc(1, 20)
    heap.cfree(user)
    assert (child_of(heap, True).cmalloc(1, 20) == user) == era.buckets_in_header
    assert child_of(heap, False).cmalloc(1, 20) == user


@ALL
def test_a_child_s_writes_never_change_the_parent(era):
    parent = fresh(era)
    users = parent.cstrdup1_many([b"v" * n for n in range(300)])
    before = image(parent)
    for execed in (True, False):
        child = child_of(parent, execed)
        child.cfree_many(users)
        child.cstrdup1_many([b"w" * n for n in range(300)])
        child.crealloc(users[0], 9000)
        assert image(parent) == before
        kept = image(child)
        parent.cfree(parent.cstrdup(b"later"))
        assert image(child) == kept
        before = image(parent)


@pytest.mark.parametrize(("era", "tops"), [(A, (8936, 10360)), (B, (9312, 10896))])
def test_equal_execs_do_not_grow_after_the_second(era, tops):
    """CYGWIN.md b6, first and third row: the set of h07, 600 execs."""
    heap, one_set = exec_chain(era)
    seen = []
    for _ in range(600):
        vector = run_exec(heap, one_set)
        seen.append(heap.max)
        heap = child_of(heap, True)
        heap.cfree(vector)
    assert (seen[0], seen[1]) == tops
    assert set(seen[1:]) == {tops[1]}


@pytest.mark.parametrize(("era", "step", "end"), [(A, 1424, 861_912), (B, 1584, 958_128)])
def test_untagged_execs_grow_by_a_whole_set(era, step, end):
    """CYGWIN.md b6, untagged: nothing frees what no walk knows."""
    heap, one_set = exec_chain(era)
    seen = []
    for _ in range(600):
        vector = run_exec(heap, one_set, untagged=True)
        seen.append(heap.max)
        heap = child_of(heap, True)
        heap.cfree(vector)
    assert {b - a for a, b in pairwise(seen)} == {step}
    assert seen[-1] == end


def exec_chain(era):
    """A heap as h07 has it before the first exec, and what one exec allocates."""
    path = GOLDEN / era.name / "h07_execchain.jsonl.gz"
    ops = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[1:]]
    ops = [op for op in ops if isinstance(op, list)]
    start = next(i for i, op in enumerate(ops) if op[:2] == ["z", 9])
    end = next(i for i, op in enumerate(ops) if op[0] == "x")
    heap = fresh(era)
    for op in ops[:start]:
        allocate(heap, op)
    return heap, ops[start:end]


def run_exec(heap, one_set, untagged=False):
    """Allocate one set; the address of the environment vector, the second 1_ARGV."""
    users = [allocate(heap, op, untagged) for op in one_set]
    return [u for u, op in zip(users, one_set, strict=True) if op[:2] == ["m", 7]][-1]


def allocate(heap, op, untagged=False):
    name, one = op[0], op[1]
    if name == "S":
        return (heap.cstrdup if untagged else heap.cstrdup1)(one.encode())
    if name == "s":
        return heap.cstrdup(one.encode())
    if name == "r":
        return heap.crealloc(0, op[2])
    kind = HeapType.HEAP_STR if untagged else one
    return heap.ccalloc(kind, op[2], op[3]) if name == "z" else heap.cmalloc(kind, op[2])


# -- random operations against models -------------------------------------------------------------

SIZES = st.integers(0, 300) | st.integers(0, 9000)
TAGS = st.sampled_from([0, 1, 2, 3, 6, 7, 8, 9])
OPS = st.one_of(
    st.tuples(st.just("m"), TAGS, SIZES),
    st.tuples(st.just("z"), TAGS, st.integers(0, 40), st.integers(0, 60)),
    st.tuples(st.just("s"), st.binary(max_size=700).map(lambda s: s.replace(b"\0", b"."))),
    st.tuples(st.just("many"), st.lists(st.integers(0, 600), max_size=20)),
    st.tuples(st.just("r"), st.integers(0, 1 << 16), SIZES),
    st.tuples(st.just("f"), st.integers(0, 1 << 16)),
    st.tuples(st.just("f"), st.integers(0, 1 << 16)),
    st.tuples(st.just("ff"), st.integers(0, 1 << 16), st.integers(0, 8)),
    st.tuples(st.just("x")),
    st.tuples(st.just("k")),
)


class Model:
    """The heap as a dict: where each live block is, what is in it, who is free in which class."""

    def __init__(self, era):
        self.era = era
        self.heap = fresh(era)
        self.live = {}  # user address -> [bytes, type, bucket]
        self.free = {}  # bucket -> user addresses, the next one last
        self.order = []  # every block's user address, oldest first

    def expect(self, n):
        b = loop_search(n, self.era.search_slack_bytes, self.era.search_signed)
        if self.free.get(b):
            return b, self.free[b].pop()
        user = BASE + self.heap.max + 16
        self.order.append(user)
        return b, user

    def took(self, user, kind, n, content):
        b, want = self.expect_next
        assert user == want
        assert user not in self.live
        self.live[user] = [content, kind, b]

    def alloc(self, kind, content):
        self.expect_next = self.expect(len(content))
        user = self.heap.cmalloc(kind, len(content))
        self.heap.store(user, content)
        self.took(user, kind, len(content), content)

    def drop(self, user):
        self.free.setdefault(self.live.pop(user)[2], []).append(user)

    def pick(self, i):
        return list(self.live)[i % len(self.live)] if self.live else None

    def do(self, op):
        name, *rest = op
        if name == "m":
            self.alloc(rest[0], bytes((i * 7 + rest[1]) & 255 for i in range(rest[1])))
        elif name == "z":
            n = rest[1] * rest[2]
            self.expect_next = self.expect(n)
            self.took(self.heap.ccalloc(*rest), rest[0], n, bytes(n))
        elif name == "s":
            self.expect_next = self.expect(len(rest[0]) + 1)
            self.took(self.heap.cstrdup(rest[0]), 1, 0, rest[0] + b"\0")
        elif name == "many":
            self.many([b"%c" % (97 + n % 26) * n for n in rest[0]])
        elif name == "r":
            self.grow(self.pick(rest[0]), rest[1])
        elif name in ("f", "ff"):
            chosen = [self.pick(rest[0])] if self.live else []
            if name == "ff":
                chosen = list(self.live)[rest[0] % (len(self.live) + 1) :][: rest[1]]
                self.heap.cfree_many(chosen)
            elif chosen:
                self.heap.cfree(chosen[0])
            for user in chosen:
                self.drop(user)
        else:
            self.child(name == "x" and self.era is not C)

    def many(self, texts):
        top = self.heap.max
        wants = []
        for text in texts:  # `expect` reads the top, so move it as the heap will
            wants.append(self.expect(len(text) + 1))
            if wants[-1][1] == BASE + self.heap.max + 16:
                self.heap.max += 8 + (1 << wants[-1][0])
        self.heap.max = top
        for want, user, text in zip(wants, self.heap.cstrdup1_many(texts), texts, strict=True):
            self.expect_next = want
            self.took(user, 6, 0, text + b"\0")

    def grow(self, old, n):
        if old is None:
            return
        content, kind, b = self.live[old]
        if n + 8 <= 1 << b:
            assert self.heap.crealloc(old, n) == old
            return
        self.expect_next = self.expect(n)
        user = self.heap.crealloc(old, n)
        self.took(user, kind, n, content)
        self.drop(old)

    def child(self, execed):
        self.heap = child_of(self.heap, execed)
        if not execed:
            return
        if not self.era.buckets_in_header:
            self.free = {}
        for user in reversed(self.order):
            if user in self.live and self.live[user][1] > 5:
                if self.live[user][1] >= 100:
                    self.drop(user)
                else:
                    self.live[user][1] += 100

    def check(self):
        spans = sorted((u, (1 << b) + 8) for u, (_, _, b) in self.live.items())
        for (a, size), (b, _) in pairwise(spans):
            assert a + size <= b
        for user, (content, kind, b) in self.live.items():
            assert self.heap.load(user, len(content)) == content
            assert self.heap.memory.read32(user - BASE - 8) == kind
            assert self.heap.memory.read32(user - BASE - 16) == b
        assert [e.start + 16 for e in self.heap.chain()] == self.order[::-1]


@given(st.sampled_from(list(ERAS.values())), st.lists(OPS, max_size=40))
def test_random_operations_agree_with_a_dict(era, ops):
    model = Model(era)
    for op in ops:
        model.do(op)
    model.check()


def plain_step(heap, op, users):
    """One operation by the plain steps of the C code alone."""
    name, *rest = op
    if name == "m":
        users.append(heap._slow_cmalloc(rest[0], rest[1], rest[1]))
    elif name == "z":
        n = rest[1] * rest[2]
        users.append(heap._slow_cmalloc(rest[0], n, n))
        heap._clear(users[-1], n)
    elif name in ("s", "many"):
        texts = rest if name == "s" else [b"t" * n for n in rest[0]]
        for text in texts:
            users.append(heap._slow_cmalloc(1 if name == "s" else 6, len(text) + 1, len(text) + 1))
            heap.store(users[-1], text + b"\0")
    elif name in ("f", "ff") and users:
        heap._slow_free(users.pop(rest[0] % len(users)) - 16)
    elif name in ("x", "k"):
        at = heap.head
        if heap.era.heapbase_offset is not None:
            heap.memory.write32(heap.era.heapbase_offset, 0)
        while at:
            at = heap._slow_step(at, 0 if heap.era.walk_frees_tails else 1)


def fast_step(heap, op, users):
    """The same by the public methods."""
    name, *rest = op
    if name == "m":
        users.append(heap.cmalloc(*rest))
    elif name == "z":
        users.append(heap.ccalloc(*rest))
    elif name == "s":
        users.append(heap.cstrdup(rest[0]))
    elif name == "many":
        users.extend(heap.cstrdup1_many([b"t" * n for n in rest[0]]))
    elif name == "f" and users:
        heap.cfree(users.pop(rest[0] % len(users)))
    elif name == "ff" and users:
        heap.cfree_many([users.pop(rest[0] % len(users))])
    elif name in ("x", "k"):
        heap.walk()


@given(st.sampled_from(list(ERAS.values())), st.lists(OPS, max_size=40))
def test_the_fast_paths_leave_what_the_plain_steps_leave(era, ops):
    """Also on heaps that the walk of era C or a freed block in use has damaged."""
    fast, plain = fresh(era), fresh(era)
    users_fast, users_plain = [], []
    for op in ops:
        ends = []
        for heap, users, step in (
            (fast, users_fast, fast_step),
            (plain, users_plain, plain_step),
        ):
            try:
                step(heap, op, users)
                ends.append(None)
            except (AccessViolation, HeapFatal, UndefinedAccess) as error:
                ends.append(error.args)
        assert ends[0] == ends[1]
        if ends[0] is not None:
            return
        assert users_fast == users_plain
        assert image(fast) == image(plain)
