"""Assembling a Windows installation on another system, from the interpreter and the wheels."""
