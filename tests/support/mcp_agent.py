"""An agent for tests, which is run as a script: it starts the bridge, leaves its streams to it, and waits for it."""

from __future__ import annotations

import os
import subprocess
import sys

if __name__ == "__main__":
    with subprocess.Popen([sys.executable, "-m", "upstash_helper", *sys.argv[1:]]) as bridge:
        os.close(0)
        os.close(1)
        code = bridge.wait()
    os._exit(code if code >= 0 else 1)
