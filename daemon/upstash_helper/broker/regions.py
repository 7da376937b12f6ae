"""
The regions that Upstash offers, from the enums of its Developer API's description (August 2026).

A region that is not here is passed on as it is: Upstash adds some from time to time and knows best.
"""

from __future__ import annotations

from typing import Final

import msgspec

from upstash_helper.broker.models import Platform


class Region(msgspec.Struct, frozen=True):
    """A place where a database can be."""

    id: str
    name: str
    platform: Platform = "aws"
    read: bool = True
    primary: bool = True


REGIONS: Final = (
    Region("us-east-1", "N. Virginia, USA"),
    Region("us-east-2", "Ohio, USA"),
    Region("us-west-1", "N. California, USA"),
    Region("us-west-2", "Oregon, USA"),
    Region("ca-central-1", "Montreal, Canada"),
    Region("eu-central-1", "Frankfurt, Germany"),
    Region("eu-west-1", "Dublin, Ireland"),
    Region("eu-west-2", "London, United Kingdom"),
    Region("sa-east-1", "São Paulo, Brazil"),
    Region("ap-south-1", "Mumbai, India"),
    Region("ap-northeast-1", "Tokyo, Japan"),
    Region("ap-southeast-1", "Singapore"),
    Region("ap-southeast-2", "Sydney, Australia"),
    Region("af-south-1", "Cape Town, South Africa", read=False),
    Region("us-central1", "Iowa, USA", "gcp", read=False),
    Region("us-east4", "N. Virginia, USA", "gcp", read=False),
    Region("europe-west1", "St. Ghislain, Belgium", "gcp", read=False),
    Region("asia-northeast1", "Tokyo, Japan", "gcp", read=False),
)

_BY_ID: Final = {region.id: region for region in REGIONS}


def find(region_id: str) -> Region | None:
    """Return the region, or None if it is not one that is known here."""
    return _BY_ID.get(region_id)
