"""The cygheap: Cygwin's private heap, which every child gets from its parent.

`layout` holds the constants of each era, `allocator` the heap itself, byte for byte as the C code
leaves it, `golden` replays recorded runs of the real code against it, `audit` looks at the bytes.
What begins with `modern` is the same for the 64-bit cygheap of Cygwin 3.6.
"""
