"""
The scripts with which the helper is set up, installed and tested, and what they share.

A package with this file, because one of the scripts is `install.py`: without it, `import install` would find that one
from here.
"""
