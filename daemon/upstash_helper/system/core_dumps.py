"""
Keeping this process's memory, which contains secrets, out of core dumps and crash reports.

On Linux, other programs of the same user can then neither attach a debugger to the process nor read its memory or list
its open files (``PR_SET_DUMPABLE``). Programs that it starts are not affected: executing a program resets the flag. The
resource limit is inherited, as the installed service's is.

The code for macOS and Windows was not run there.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Final

# linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
# errhandlingapi.h and werapi.h
_SEM_FAILCRITICALERRORS: Final = 0x0001
_SEM_NOGPFAULTERRORBOX: Final = 0x0002
_WER_FAULT_REPORTING_FLAG_NOHEAP: Final = 1


def disable() -> None:
    """
    Let no crash of this process write its memory anywhere. Call it before the process has read a secret. Never raises:
    where the system does not allow it, the process runs without.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        _disable()


if sys.platform == "win32":

    def _disable() -> None:
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(_SEM_FAILCRITICALERRORS | _SEM_NOGPFAULTERRORBOX)
        ctypes.windll.wer.WerSetFlags(_WER_FAULT_REPORTING_FLAG_NOHEAP)

else:

    def _disable() -> None:
        import resource

        if sys.platform == "linux":
            import ctypes

            # The limit does not apply to a program that receives core dumps through a pipe (core(5)), but this does.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
