"""Makes a child process end when its parent is gone, however that died; must not be used for processes meant to outlive us."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2), linux/prctl.h


def end_with_parent(signal_number: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn`, or None where the kernel has no such thing (then the next start cleans up).

    It runs after the child has changed its uid, as it must: prctl(2) clears the setting on a change of credentials.
    The signal comes when the *thread* that started the child ends, so start children from a thread that stays.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child must not allocate more than it has to
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal_number))
        if os.getppid() != parent:  # it died between fork and prctl
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange
