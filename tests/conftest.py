"""What holds for every test."""

from __future__ import annotations

import os
import signal
import threading

# Before torch is imported: two threads on a busy machine of two cores were measured 60 times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts its jobs in the background lets them ignore Ctrl-C, and so would every program started here: the
# tests of interrupts need it heard, however the suite itself was started.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
