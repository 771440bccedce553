"""The cygheap: Cygwin's private heap, which every child gets from its parent.

`layout` holds the constants of each era, `allocator` the heap itself, byte for byte as the C code
leaves it, `golden` replays recorded runs of the real code against it, `audit` looks at the bytes.
"""
