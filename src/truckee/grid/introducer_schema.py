"""The introducer's protocol.  Source: ``docs/formats/announcements.md``."""

from __future__ import annotations

from foolscap.api import Any, DictOf, Referenceable, RemoteInterface, SetOf

SERVICE = b"storage"
V2 = b"http://allmydata.org/tahoe/protocols/introducer/v2"

# More servers than a grid ever had.
MAX_ANNOUNCEMENTS = 10_000


class RIIntroducerSubscriberClient(RemoteInterface):
    """Receives announcements of servers."""

    __remote_name__ = "RIIntroducerSubscriberClient_v2.tahoe.allmydata.com"

    def announce_v2(announcements=SetOf(Any(), maxLength=MAX_ANNOUNCEMENTS)):
        return None


class RIIntroducer(RemoteInterface):
    """Tells subscribers of publishers."""

    __remote_name__ = "RIIntroducerPublisherAndSubscriberService_v2.tahoe.allmydata.com"

    def get_version():
        return DictOf(bytes, Any())

    def publish_v2(announcement=Any(), canary=Referenceable):
        return None

    def subscribe_v2(
        subscriber=RIIntroducerSubscriberClient,
        service_name=bytes,
        subscriber_info=DictOf(bytes, Any()),
    ):
        return None
