"""
The scripts that install, demonstrate, and test the helper, and the modules that they share.

This file makes the folder a package. Without it, `import install` would import `install.py` when run from here.
"""
