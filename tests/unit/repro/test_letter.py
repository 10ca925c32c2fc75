"""Mails, mboxes and logs become text; what cannot be read says why in a sentence."""

import mailbox
from email.message import EmailMessage

import pytest

from farm.errors import UserError
from farm.repro.letter import read_letter

OOPS = "BUG: kernel NULL pointer dereference in crypt_convert\n"


def mail(body="see below\n", subtype="plain", **more):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "dm-crypt hangs"
    message.set_content(body, subtype=subtype, **more)
    return message


def test_a_log_is_taken_as_it_is():
    assert read_letter(b"[ 1.0] BUG: x\r\nkernel: y\n\xff", "log").text == "[ 1.0] BUG: x\nkernel: y\n�"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_a_mail_is_decoded(encoding):
    letter = read_letter(mail("ä " + OOPS, cte=encoding).as_bytes(), "mail")
    assert OOPS.strip() in letter.text
    assert "dm-crypt hangs" in letter.text
    assert "b@example.org" not in letter.text


def test_a_log_in_an_attachment_is_read_and_a_picture_is_not():
    message = mail()
    message.add_attachment(OOPS.encode(), maintype="application", subtype="octet-stream", filename="dmesg.txt")
    message.add_attachment(b"\x89PNG\0\0", maintype="image", subtype="png", filename="screen.png")
    letter = read_letter(message.as_bytes(), "mail")
    assert OOPS in letter.text
    assert letter.left_out == ("the attachment screen.png is no text",)


def test_html_is_read_without_its_tags_and_scripts():
    letter = read_letter(mail(f"<style>x</style><p>a &lt;b&gt;</p><pre>{OOPS}</pre><script>evil()</script>", "html")
                         .as_bytes(), "mail")
    assert OOPS.strip() in letter.text
    assert "a <b>" in letter.text
    assert "evil" not in letter.text


def test_html_beside_plain_text_is_not_read_twice():
    message = mail(OOPS)
    message.add_alternative(f"<p>{OOPS}</p>", subtype="html")
    assert read_letter(message.as_bytes(), "mail").text.count("NULL pointer") == 1


def test_all_mails_of_an_mbox_are_read(tmp_path):
    box = mailbox.mbox(tmp_path / "box")
    for text in ("first\n", OOPS):
        box.add(mailbox.mboxMessage(mail(text)))
    box.close()
    letter = read_letter((tmp_path / "box").read_bytes(), "box")
    assert "first" in letter.text
    assert OOPS in letter.text


def empty_mail():
    return mail("").as_bytes()


def only_a_picture():
    message = EmailMessage()
    message["From"], message["To"] = "a@example.org", "b@example.org"
    message.add_attachment(b"\x89PNG\0\0", maintype="image", subtype="png", filename="screen.png")
    return message.as_bytes()


@pytest.mark.parametrize(("data", "words"), [
    (b"", "is empty"), (b" \n\n", "is empty"), (b"\x1f\x8b\x08", "compressed by gzip"), (b"%PDF-1.4", "a PDF file"),
    (only_a_picture(), "without any text.*screen.png is no text"),
], ids=["nothing", "blanks", "gzip", "pdf", "picture"])
def test_what_has_no_text_says_so(data, words):
    with pytest.raises(UserError, match=words):
        read_letter(data, "x")


@pytest.mark.parametrize("data", [
    b"From a b\nSubject: x\nContent-Type: text/plain; charset=no-such\n\nhello\n",
    b"From: a\nSubject: =?x?q?\nContent-Transfer-Encoding: base64\nContent-Type: multipart/mixed\n\n!!! hello\n",
    b"From: a\nContent-Type: text/html\nTo: b\n\n<p><<<>hello</b></script>\n",
    # Names that Python knows and that take no text apart: one refuses the way of errors, one everything.
    b"From: a\nSubject: x\nContent-Type: text/plain; charset=idna\n\nhello \xff\n",
    b"From: a\nSubject: x\nContent-Type: text/plain; charset=undefined\n\nhello\n",
    b"From: a\nSubject: x\nContent-Type: text/plain; charset=\"utf\0\"\n\nhello\n",
], ids=["charset", "broken", "html", "idna", "undefined", "zero"])
def test_broken_mails_are_read_as_far_as_they_go(data):
    assert "hello" in read_letter(data, "x").text


def test_what_cannot_be_read_is_said_once():
    nested = b"--a\nContent-Type: message/rfc822\n\nFrom: a\nTo: b\nContent-Type: multipart/mixed; boundary=a\n\n"
    head = nested.partition(b"\n\n")[2]
    letter = read_letter(head + 9 * nested + b"hello\n", "x")
    assert "hello" in letter.text
    assert len(letter.left_out) == len(set(letter.left_out)) <= 1
