"""Random operations on the cygheap, held against a dict and the plain steps of the C code."""

from __future__ import annotations

from itertools import pairwise

from heaps import BASE, child_of, fresh, image, loop_search
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.cygheap.allocator import HeapFatal, UndefinedAccess
from models.cygwin.cygheap.layout import ERAS, C
from models.win32.errors import AccessViolation

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
        heap.clear(users[-1], n)
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
