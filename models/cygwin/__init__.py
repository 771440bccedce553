"""Cygwin's own words: the cygheap, the child that gets it, fork, exec and spawn."""
