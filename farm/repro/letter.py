"""From what a developer has got (a file, a mail, an mbox) to plain text. It is hostile input: nothing in it is run."""

import mailbox
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from html.parser import HTMLParser

from farm.errors import UserError
from farm.host import lease

# Bytes of a report that are read; the longest boot logs have a few million.
MOST_BYTES = 64 << 20
# Mails of an mbox that are read.
MOST_MAILS = 500
_MBOX = re.compile(rb"\AFrom \S.*\n(?:[!-9;-~]+:|>From )", re.ASCII)
_HEADER = re.compile(rb"\A(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}\r?\n", re.ASCII)
_MAIL_FIELDS = re.compile(
    rb"^(?:From|To|Subject|Date|Message-ID|MIME-Version|Content-Type):", re.IGNORECASE | re.MULTILINE)
_BINARY = {b"\x1f\x8b": "compressed by gzip", b"\xfd7zXZ\0": "compressed by xz", b"PK\x03\x04": "a zip archive",
           b"\x7fELF": "an ELF file", b"\x89PNG": "a picture", b"%PDF": "a PDF file", b"BZh": "compressed by bzip2",
           b"\x28\xb5\x2f\xfd": "compressed by zstd"}


@dataclass(frozen=True)
class Letter:
    """A report as text."""

    text: str
    # What of it could not be read, a sentence each.
    left_out: tuple[str, ...] = ()


def read_letter(data: bytes, name: str) -> Letter:
    """The text of a report called `name`. Raises UserError, saying why, when there is none."""
    if not data.strip():
        raise UserError(f"{name} is empty. Give the mail, the bugzilla text or the console log itself.")
    if len(data) > MOST_BYTES:
        raise UserError(f"{name} has more than {MOST_BYTES >> 20} MiB. Cut out the part around the report.")
    kind = next((what for magic, what in _BINARY.items() if data.startswith(magic)), None)
    if kind is not None:
        raise UserError(f"{name} is {kind}, no text. Unpack it and give what is inside.")
    left_out: list[str] = []
    if _MBOX.match(data):
        texts = [_body(mail, left_out) for mail in _mails(data)]
    elif (head := _HEADER.match(data)) and _MAIL_FIELDS.search(head[0]):
        texts = [_body(message_from_bytes(data, policy=policy.default), left_out)]
    else:
        texts = [_plain(data)]
    text = "\n".join(texts)
    if not text.strip():
        why = f" ({'; '.join(left_out)})" if left_out else ""
        raise UserError(f"{name} is a mail without any text{why}. Save what is attached, and give that.")
    return Letter(text, tuple(dict.fromkeys(left_out)))


def _mails(data: bytes) -> Iterator[Message]:
    path = lease.scratch_directory("mbox") / "mbox"
    path.write_bytes(data)
    box = mailbox.mbox(path, create=False)
    for key in box.keys()[:MOST_MAILS]:
        yield message_from_bytes(box.get_bytes(key), policy=policy.default)
    box.close()


def _body(mail: Message, left_out: list[str]) -> str:
    """Subject and text of a mail, with those attachments that are text."""
    parts = [part for part in mail.walk() if not part.is_multipart()]
    plain = any(part.get_content_type() == "text/plain" for part in parts)
    texts = [f"Subject: {mail['subject']}"] if mail["subject"] else []
    for part in parts:
        kind = part.get_content_type()
        if kind == "text/html" and plain:
            continue  # the same once more
        payload = part.get_payload(decode=True) if isinstance(part, EmailMessage | Message) else b""
        content = payload if isinstance(payload, bytes) else b""
        if kind == "text/html":
            texts.append(_without_tags(_plain(content, part.get_content_charset())))
        elif kind.startswith(("text/", "message/")) or (content and b"\0" not in content[:4096]):
            texts.append(_plain(content, part.get_content_charset()))
        else:
            left_out.append(f"the attachment {part.get_filename() or kind} is no text")
    return "\n".join(texts)


def _plain(data: bytes, charset: str | None = None) -> str:
    try:
        return data.decode(charset or "utf-8", errors="replace").replace("\r\n", "\n")
    except (LookupError, ValueError):  # a character set that nobody has, or one that no text can be in
        return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


class _Text(HTMLParser):
    _BLOCKS = frozenset({"p", "br", "div", "li", "tr", "pre", "h1", "h2", "h3", "blockquote"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _without_tags(html: str) -> str:
    parser = _Text()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts)
