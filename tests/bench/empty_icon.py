"""The baseline: a minimal pystray icon. It requires an X display."""

import os

os.environ["PYSTRAY_BACKEND"] = "xorg"

import pystray
from PIL import Image

if __name__ == "__main__":
    pystray.Icon("empty", Image.new("RGB", (64, 64), "green"), "empty").run()
