"""A Windows machine of Cygwin's kind: objects with Win32 semantics, and what they cost."""
