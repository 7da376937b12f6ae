"""
The sandbox with cheap hashes of passwords: ``python -m tests.support.quick_sign_ups``, with the sandbox's arguments.

Thousands of tests sign up with an account of their own at one sandbox, and each sign-up would take 50 ms of a processor
for the hash alone. The function is the same; only its cost is not the one that protects a user's password.
"""

from __future__ import annotations

import sys

from upstash_helper.sandbox.__main__ import main as sandbox
from upstash_helper.sandbox.accounts import PASSWORD_COST
from upstash_helper.system import console


def main() -> int:
    """Run the sandbox."""
    PASSWORD_COST["n"] = 2
    sandbox(prog_name="upstash-helper sandbox")
    return 0


if __name__ == "__main__":
    sys.exit(console.run(main))
