"""What holds for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

import srmd.log

# An event outside the catalogue is a failing test, not a line in a log that nobody reads.
srmd.log.STRICT = True

# Tests begun in the background of a script have Ctrl-C ignored, and every child with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The build must not depend on luck: the same examples each time.  `HYPOTHESIS_PROFILE=search` looks
# for new ones, and prints how to repeat what it finds.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
