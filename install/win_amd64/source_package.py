"""
Download a source distribution with pip, without running its code.

    python -m install.win_amd64.source_package NAME VERSION FOLDER

``pip download`` runs the package's build to read its metadata (https://github.com/pypa/pip/issues/1884). So this uses
only the parts of pip that find and download a file, with the user's index, proxy, and certificates. They are not a
public interface: if they change, the download fails. The caller checks the digest.
"""

from __future__ import annotations

import sys
from pathlib import Path


def download(name: str, version: str, folder: Path) -> Path:
    """
    Download the source distribution of a version.

    Raises:
        LookupError: If the index does not have it.
    """
    from pip._internal.commands.download import DownloadCommand

    command = DownloadCommand("download", "Download a source distribution.")
    options, _ = command.parse_args(["--no-deps", "--quiet"])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options=options, session=session)  # noqa: SLF001 - see above
        for candidate in finder.find_all_candidates(name):
            if str(candidate.version) == version and candidate.link.filename.endswith(".tar.gz"):
                response = session.get(candidate.link.url_without_fragment, headers={"Accept-Encoding": "identity"})
                response.raise_for_status()
                file = folder / candidate.link.filename
                file.write_bytes(response.content)
                return file
    raise LookupError(f"The package index has no source distribution of {name} {version}.")


if __name__ == "__main__":
    try:
        print(download(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
    except (LookupError, OSError) as error:
        sys.exit(str(error))
