"""Models: `win32` is the machine, `cygwin` what Cygwin does with it."""
