"""Running the project and its tests for Windows on Linux, with Wine and python.org's interpreter."""
