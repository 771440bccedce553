"""Effects that were kept: a heap with the same bytes is the same after the step as if it ran."""

from __future__ import annotations

import pytest
from heaps import child_of, fresh, image
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.arguments import Arguments, put_argv, put_environment
from models.cygwin.cygheap import layout
from models.cygwin.cygheap.effects import HeapEffects

ERAS = [layout.A, layout.B]
ENVIRONMENT = [b"NAME=" + b"x" * n for n in range(0, 300, 3)]  # takes more than one page
OTHERS = st.lists(st.sampled_from([b"a", b"bc" * 20, b"d" * 600]), max_size=4)


@pytest.fixture(params=ERAS, ids=lambda era: era.name)
def era(request):
    return request.param


def putting(heap, arguments, ran):
    """What puts argv and environment, and notes that it ran."""

    def carry_out():
        ran.append(heap)
        blocks = put_argv(heap, arguments)
        put_environment(heap, blocks, arguments, 0)
        return blocks.strings, blocks.env_strings

    return carry_out


def test_kept_effect_leaves_the_same_heap_and_commits_alike(era):
    effects, parent, ran = HeapEffects(era), fresh(era), []
    arguments = Arguments([b"sh", b"-c"], ENVIRONMENT)
    seen = []
    for _ in range(3):
        heap = child_of(parent, execed=False)
        commits, commit = [], heap.commit
        heap.commit = lambda *range_, commits=commits, commit=commit: (
            commits.append(range_),
            commit(*range_),
        )
        result = effects.of(heap, "put", putting(heap, arguments, ran))
        seen.append((result, image(heap), commits))
    plain = child_of(parent, execed=False)
    putting(plain, arguments, [])()
    assert len(ran) == 1
    assert seen[0] == seen[1] == seen[2]
    assert seen[2][1] == image(plain)
    assert len(seen[2][2]) > 1


def test_who_writes_later_changes_neither_the_kept_effect_nor_other_heaps(era):
    effects, parent, ran = HeapEffects(era), fresh(era), []
    arguments = Arguments([b"true"], ENVIRONMENT)
    heaps = [child_of(parent, execed=False) for _ in range(3)]
    users = [effects.of(heap, "put", putting(heap, arguments, ran))[0] for heap in heaps[:2]]
    before = image(heaps[1])
    heaps[0].cfree_many(users[0])
    heaps[0].store(users[0][0], b"!")
    assert image(heaps[1]) == before
    effects.of(heaps[2], "put", putting(heaps[2], arguments, ran))
    assert image(heaps[2]) == before
    assert len(ran) == 1


@given(st.lists(OTHERS, min_size=2, max_size=8), st.sampled_from(ERAS))
def test_walks_of_children_are_the_plain_ones(orders, era):
    effects = HeapEffects(era)
    for texts in orders * 2:
        parent = fresh(era)
        parent.cstrdup1_many(texts)
        kept, plain = child_of(parent, execed=False), child_of(parent, execed=False)
        for _ in range(3):  # marks, frees, nothing left
            effects.of(kept, "walk", kept.walk)
            plain.walk()
            assert image(kept) == image(plain)


def test_other_bytes_top_step_or_era_are_other_effects():
    effects, ran = HeapEffects(layout.B), []

    def step(heap):
        return lambda: ran.append(heap)

    heap = fresh(layout.B)
    effects.of(heap, "a", step(heap))
    effects.of(heap, "a", step(heap))
    assert len(ran) == 1
    effects.of(heap, "b", step(heap))
    heap.memory.write32(2048, 1)
    effects.of(heap, "a", step(heap))
    heap.max += 8
    effects.of(heap, "a", step(heap))
    assert len(ran) == 4
    for _ in range(2):
        other = fresh(layout.R)
        effects.of(other, "a", step(other))
    assert len(ran) == 6


def test_step_that_fails_is_carried_out_each_time():
    effects, ran = HeapEffects(layout.B), []

    def fails():
        ran.append(1)
        raise RuntimeError

    heap = fresh(layout.B)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            effects.of(heap, "fails", fails)
    assert len(ran) == 2
    assert heap.commit.__name__ == "commit"  # not the one that notes


def test_all_is_forgotten_when_too_much_is_kept(monkeypatch):
    monkeypatch.setattr("models.cygwin.cygheap.effects._MOST_BYTES", 3 * 4096)
    effects, ran = HeapEffects(layout.B), []
    for number in (0, 1, 0):
        heap = fresh(layout.B)
        heap.memory.write32(2048, number)
        effects.of(heap, "a", lambda: ran.append(1))
    assert len(ran) == 3
