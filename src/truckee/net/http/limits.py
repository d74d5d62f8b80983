"""What one client may take of the gateway, and for how long."""

from __future__ import annotations

from attrs import frozen

KIB = 1024


@frozen
class HttpLimits:
    """Bounds in bytes and seconds, on every connection of one site."""

    # Each costs a descriptor and, beside the bodies that have budgets of their own, at most
    # a head, a read and what waits behind an answer: some 64 KiB.  When all are taken, the
    # slowest of the client with the most give way to whoever comes.
    max_connections: int = 1000

    # The request line and all headers.  A directory of caps in a header stays far below.
    max_head: int = 16 * KIB

    # The whole head, from its first byte: a person on a bad link needs seconds.  A new
    # connection has as long for its TLS handshake and its first head together.
    header_deadline: float = 60.0

    # Between two requests.  Proxies that pool connections mostly assume 60 s.
    idle_timeout: float = 60.0

    # Bodies of resources that do not stream are forms, in memory: as many as there are
    # connections.
    max_plain_body: int = 32 * KIB

    # A body may be silent for minutes (`tar | curl -T -`), not for ever: of each window in
    # which we listen this many bytes have to come, one byte each second.
    body_window: float = 600.0
    body_minimum: int = 600

    # A client that reads none of its response.  A paused film is still one that reads.
    stalled_output: float = 3600.0

    # Where the system does not tell whether a paused client still lives.  Stock servers
    # drop an upload after 30 idle minutes: a longer pause leads nowhere.
    max_pause: float = 1800.0

    # How often a paused client is looked at: an upload is given up within a second.
    peer_look: float = 0.5

    # A body whose answer is out: what costs less to read than a new connection is read.
    swallow: int = 256 * KIB

    # After the last response, for the client to read it while it still sends.
    linger: float = 30.0
    linger_quiet: float = 5.0
    linger_size: int | None = None  # bytes that are dropped in that time; None: all

    # To flush what is left once a connection is given up.
    close_deadline: float = 15.0

    # Of requests that wait behind the one that is answered, and of one read outside of
    # bodies: a connection has at most both, beside a head, in memory.
    read_ahead: int = 16 * KIB

    # One read of a body.  Twisted's 64 KiB costs a third more processor time.
    read_size: int = 256 * KIB
    # Bytes given to the system at once: each time costs a round of the event loop.
    send_size: int = 512 * KIB
