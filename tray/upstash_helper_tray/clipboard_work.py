"""
The former name of ``dispatch.clipboard_process``.

After an upgrade in place, the tray of the previous version runs until the next login or ``upstash-helper install``. It
starts this module by name to clear the clipboard. Without it, a copied password would stay there. Remove this module
after the next release.
"""

from __future__ import annotations

import sys

from upstash_helper_tray.dispatch.clipboard_process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
