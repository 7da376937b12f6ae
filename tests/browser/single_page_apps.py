"""Single-page apps that sign in with published libraries, from an origin of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.support.npm import installed_packages

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.browser import Site

PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Book shop</title><link rel="icon" href="data:,">
<main><h1>Book shop</h1></main>
<script src="/library.js"></script>
</html>
"""


async def serve_oidc_client(site: Site) -> None:
    """Serve a page with `oidc-client-ts`, as the global ``oidc``."""
    modules = await installed_packages()
    library = modules / "oidc-client-ts" / "dist" / "browser" / "oidc-client-ts.min.js"
    serve(site, library.read_text("utf-8"))


async def serve_auth0(site: Site) -> None:
    """Serve a page with Auth0's own library, as the global ``auth0``."""
    modules = await installed_packages()
    library = modules / "@auth0" / "auth0-spa-js" / "dist" / "auth0-spa-js.production.js"
    serve(site, library.read_text("utf-8"))


def serve(site: Site, library: str) -> None:
    """Serve the page at the app's root and at its redirect URI."""
    site.pages |= {"/": PAGE, "/callback": PAGE, "/library.js": library}


async def register(page: Page, redirect_uri: str, issuer: str) -> str:
    """Register an app at the issuer from the page shown, and return the client ID."""
    client_id: str = await page.evaluate(
        """async ({ issuer, uri }) => {
            const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
            const response = await fetch(metadata.registration_endpoint, {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({
                    client_name: "Book shop",
                    redirect_uris: [uri],
                    grant_types: ["authorization_code", "refresh_token"],
                    token_endpoint_auth_method: "none",
                }),
            });
            return (await response.json()).client_id;
        }""",
        {"issuer": issuer, "uri": redirect_uri},
    )
    return client_id
