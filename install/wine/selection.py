"""The tests that run on Windows: all unit tests, and the files of other folders whose code differs by platform."""

from __future__ import annotations

TESTS = (
    "tests/unit",
    # The API and its client through a whole daemon.
    "tests/api/test_main_job.py",
    "tests/api/test_python_client.py",
    # The Credential Manager, and SQLite on a file system that locks files.
    "tests/contract/test_credential_store.py",
    "tests/contract/test_ledger.py",
    "tests/security/test_t51_ledger.py",
    # Sockets.
    "tests/security/test_t41_exclusive_port.py",
    # Processes, their output, and their folders.
    "tests/cli/test_main_job.py",
    "tests/cli/test_output.py",
    "tests/cli/test_without_daemon.py",
    "tests/cli/test_dotenv.py",
    # The sandbox uses another database server on Windows.
    "tests/sandbox/test_database_server.py",
    "tests/sandbox/test_restart.py",
    # The tray, apart from D-Bus.
    "tests/tray",
)
