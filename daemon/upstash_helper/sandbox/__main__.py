"""``python -m upstash_helper.sandbox``: run the sandbox in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from upstash_helper import __version__
from upstash_helper.sandbox.admin_routes import ROUTES
from upstash_helper.system import console

EXAMPLES = r"""
# Start it, and note admin_url and admin_token in the line that it prints
upstash-helper sandbox

# Create an account and a database for it, without a sign-in
curl -H "Authorization: Bearer $ADMIN_TOKEN" "$ADMIN_URL/accounts" \
  -d '{"email": "ada@example.com", "password": "correct horse"}'
curl -H "Authorization: Bearer $ADMIN_TOKEN" "$ADMIN_URL/databases" \
  -d '{"email": "ada@example.com", "database_name": "books"}'

# Make the next request for a database fail
curl -H "Authorization: Bearer $ADMIN_TOKEN" "$ADMIN_URL/faults" \
  -d '{"path": "/v2/redis/*", "status": 503}'

# Get a link to the console
curl -H "Authorization: Bearer $ADMIN_TOKEN" -X POST "$ADMIN_URL/console-links"
""".strip()
EXIT_CODES = {0: "stopped", 1: "could not start", 2: "invalid arguments"}


def _verbatim(text: str) -> str:
    """Return paragraphs that click does not rewrap."""
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in text.split("\n\n"))


EPILOG = "\n\n".join(
    [
        "Routes of the admin API, below admin_url:",
        _verbatim("\n".join(f"{route.method:<7}{route.path:<18}{route.does}" for route in ROUTES)),
        "Examples:",
        _verbatim(EXAMPLES),
        f"Exit codes: {', '.join(f'{code} {meaning}' for code, meaning in EXIT_CODES.items())}.",
    ]
)


class SandboxCommand(click.Command):
    """The command, with additional sections for its man page."""

    examples = EXAMPLES
    exit_codes = EXIT_CODES
    manual_sections = (("ADMIN API", tuple((f"{route.method} {route.path}", route.does) for route in ROUTES)),)


@click.command(
    cls=SandboxCommand,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for all data. Default: the user's data folder.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port of the sign-in and Developer API; 0 picks a free one. Default: the last one used, initially 3100.",
)
@click.option(
    "--redirect-uri",
    "redirect_uris",
    multiple=True,
    metavar="URI",
    help="Allowed OAuth redirect URI. Can be repeated. Default: the last ones used, initially http://localhost:3000.",
)
@click.option(
    "--client-id",
    metavar="ID",
    help="OAuth client ID. Default: the last one used, initially upstash-helper-sandbox.",
)
@click.option(
    "--no-pkce",
    is_flag=True,
    help="Accept a partner sign-in without PKCE, as in the integration guideline.",
)
@click.option("--first-ports", type=(int, int, int), hidden=True, help="Of the API, the issuer, and the REST API.")
@click.option("--no-announcement", is_flag=True, hidden=True, help="Do not print the JSON, which contains a token.")
@click.option(
    "--rest-tls-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Also serve the databases' REST API over TLS, on this port; 0 picks a free one. With 443, https://ENDPOINT "
    "works as at Upstash.",
)
@click.option("--stop-with-parent", is_flag=True, hidden=True, help="Stop when standard input is closed.")
@click.version_option(__version__, prog_name="upstash-helper sandbox")
def main(
    data: Path | None,
    host: str,
    port: int | None,
    redirect_uris: tuple[str, ...],
    client_id: str | None,
    *,
    no_pkce: bool,
    first_ports: tuple[int, int, int] | None,
    no_announcement: bool,
    rest_tls_port: int | None,
    stop_with_parent: bool,
) -> None:
    """
    Run a local Upstash: sign-in, Developer API, console, and real databases with their REST API.

    Nothing leaves this machine, and nothing costs money. When the sandbox is ready, it prints one line of JSON with all
    its URLs, and runs until you press Ctrl-C. Accounts, API keys, and databases are kept for the next start.

    A link to its console, which works once, is printed on standard error. Tests can control the sandbox with the admin
    API at admin_url, with admin_token as a bearer token.
    """
    from upstash_helper.sandbox.serve import Options, run

    if stop_with_parent:
        from upstash_helper.system import signals

        signals.stop_with_parent()
    options = Options(
        data=data,
        host=host,
        port=port,
        redirect_uris=redirect_uris,
        client_id=client_id,
        require_pkce=not no_pkce,
        first_ports=first_ports,
        announce=not no_announcement,
        rest_tls_port=rest_tls_port,
    )
    sys.exit(run(options))


def _run() -> int:
    main(prog_name="upstash-helper sandbox")
    return 0


if __name__ == "__main__":
    sys.exit(console.run(_run))
