"""What goes wrong for a client: problem documents (RFC 9457)."""

from __future__ import annotations

import msgspec

Headers = list[tuple[str, str]]

_encode = msgspec.json.Encoder().encode


class Problem(Exception):  # noqa: N818  # the name that RFC 9457 gives it
    """An error for the client: an RFC 9457 problem document.

    Parameters
    ----------
    status, title
        The HTTP status, and what kind of problem it is.
    detail
        What is wrong with this request.
    headers
        Headers of the response, such as ``Retry-After``.
    members
        Further members of the document, such as the field that is wrong.
    """

    def __init__(
        self, status: int, title: str, detail: str = "", *, headers: Headers | None = None, **members: object
    ) -> None:
        super().__init__(f"{status} {title}")
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or []
        self.members = members

    def document(self, request_id: str) -> bytes:
        """Return the document."""
        document: dict[str, object] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.detail:
            document["detail"] = self.detail
        document.update(self.members, request_id=request_id)
        return _encode(document)


def invalid(error: msgspec.ValidationError, where: str) -> Problem:
    """Return the problem of a value that does not fit, naming the field."""
    detail, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or _quoted(detail)
    return Problem(422, "Invalid value", detail, field=field, where=where)


def _quoted(detail: str) -> str:
    parts = detail.split("`")
    return parts[1] if len(parts) > 1 and "field" in parts[0].lower() else ""
