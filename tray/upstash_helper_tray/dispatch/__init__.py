"""Carrying out the actions that the user chooses, off the thread that shows the menu."""
