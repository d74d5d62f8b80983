"""Reports of corrupt shares over HTTPS, immutable and mutable ones."""

from __future__ import annotations

from truckee.storage import gbs_schema
from truckee.storage.gbs_http import Question, parse_body


async def take_report(question: Question) -> str:
    """Return the text of a report.  :raises Refusal: when the request is none."""
    question.check(b"POST")
    question.secrets(set())
    body = await question.small_body(gbs_schema.MAX_REPORT)
    return parse_body(gbs_schema.parse_report, body)
