"""What dm-crypt has to have stored; that real kernels store it so is for testcases/test_crypt_ciphers.py to show."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from farm.errors import UserError
from farm.stack.ciphertext import parse_ciphertext

# IEEE P1619, annex B, vector 10: the data unit 255, whose 512 bytes count up twice, and how its cipher text begins.
KEY = ("2718281828459045235360287471352662497757247093699959574966967627"
       "3141592653589793238462643383279502884197169399375105820974944592")
PLAIN = bytes(range(256)) * 2
BEGIN = "1c3b3a102f770386e4836c99e370cf9b"
UNIT = 255


def table(cipher="aes-xts-plain64", key=KEY, offset=0, options=""):
    return f"0 2048 crypt {cipher} {key} {offset} 259:0 0{options}\n"


@pytest.fixture
def stored():
    text = Cipher(algorithms.AES(bytes.fromhex(KEY)), modes.XTS(UNIT.to_bytes(16, "little"))).encryptor().update(PLAIN)
    assert text.hex().startswith(BEGIN)
    return text


@pytest.mark.parametrize("cipher", [
    "aes-xts-plain64", "aes-xts-plain",
    "capi:xts(ecb(aes-generic))-plain64", "capi:cryptd(xts(ecb(aes-aesni)))-plain64",
])
def test_the_vector_is_the_number_of_the_sector(stored, cipher):
    assert parse_ciphertext(table(cipher)).deciphered(stored, UNIT) == PLAIN


def test_the_offset_in_the_table_is_added(stored):
    assert parse_ciphertext("farm-data-1-crypt: " + table(offset=5)).deciphered(stored, UNIT - 5) == PLAIN


def test_each_sector_has_its_own_vector(stored):
    assert parse_ciphertext(table()).deciphered(stored * 2, UNIT)[512:] != PLAIN


@pytest.mark.parametrize(("options", "unit"), [
    (" 1 sector_size:4096", 8 * UNIT), (" 3 no_read_workqueue sector_size:4096 iv_large_sectors", UNIT),
])
def test_large_sectors_count_as_eight_unless_said_otherwise(options, unit):
    mode = modes.XTS(unit.to_bytes(16, "little"))
    stored = Cipher(algorithms.AES(bytes.fromhex(KEY)), mode).encryptor().update(PLAIN * 8)
    assert parse_ciphertext(table(options=options)).deciphered(stored, 8 * UNIT) == PLAIN * 8


def test_plain_vectors_wrap_at_32_bits():
    far = (1 << 32) + 7
    plain, plain64 = (parse_ciphertext(table(f"aes-cbc-{name}", KEY[:64])) for name in ("plain", "plain64"))
    assert plain.deciphered(PLAIN, far) == plain.deciphered(PLAIN, 7) != plain64.deciphered(PLAIN, far)


def test_essiv_depends_on_the_key():
    one, other = (parse_ciphertext(table("aes-cbc-essiv:sha256", key)) for key in (KEY[:64], KEY[64:]))
    assert one.deciphered(PLAIN, 7) != one.deciphered(PLAIN, 8)
    assert one.deciphered(PLAIN, 7) != other.deciphered(PLAIN, 7)


@pytest.mark.parametrize("line", [
    table("capi:ccm(aes)-random"), table("aes-xts-lmk"), table("serpent-xts-plain64"), table("aes-xts-random"),
    table(key=":64:logon:cryptsetup:1234"), "0 2048 linear 259:0 0", "", table(key=KEY[1:]), table(key=KEY[2:]),
    table("capi:gcm(aes)-plain64", KEY[:64]), table("capi:rfc7539(chacha20,poly1305)-plain64", KEY[:64]),
    table(options=" 1 sector_size:0"), table(options=" 1 sector_size:513"),
])
def test_what_it_does_not_know_it_says(line):
    with pytest.raises(UserError, match=r"cannot decipher .* It knows AES in the modes xts .* and cbc"):
        parse_ciphertext(line)


@pytest.mark.parametrize(("sector", "length"), [(1, 4096), (0, 512)])
def test_half_a_sector_cannot_be_deciphered(sector, length):
    with pytest.raises(UserError, match="are not whole sectors of 4096 bytes"):
        parse_ciphertext(table(options=" 1 sector_size:4096")).deciphered(bytes(length), sector)


@pytest.mark.parametrize(("vector", "number", "low"), [
    ("plain64be", UNIT, "00000000000000ff"), ("plain64be", 1 << 32, "0000000100000000"),
    # Blocks of 16 bytes, counted from one, in 64 bits.
    ("benbi", 1, "0000000000000021"), ("benbi", 1 << 59, "0000000000000001"),
])
def test_vectors_that_begin_with_the_highest_byte(vector, number, low):
    mode = modes.XTS(bytes(8) + bytes.fromhex(low))
    stored = Cipher(algorithms.AES(bytes.fromhex(KEY)), mode).encryptor().update(PLAIN)
    assert parse_ciphertext(table(f"capi:xts(aes)-{vector}")).deciphered(stored, number) == PLAIN


SECTOR = UNIT.to_bytes(8, "little")
NONCE = bytes(range(12))
TAGGED = " 1 integrity:28:aead"


@pytest.mark.parametrize(("name", "cipher"), [
    ("capi:gcm(aes)-random", AESGCM), ("capi:cryptd(gcm(aes))-random", AESGCM),
    ("capi:rfc7539(chacha20,poly1305)-random", ChaCha20Poly1305),
])
def test_a_random_vector_stands_behind_the_code(name, cipher):
    text = cipher(bytes.fromhex(KEY[:64])).encrypt(NONCE, PLAIN, SECTOR + NONCE)
    device = parse_ciphertext(table(name, KEY[:64], options=TAGGED))
    tag = text[512:] + NONCE
    assert device.tag == len(tag)
    assert device.deciphered(text[:512], UNIT, tag) == PLAIN
    assert device.deciphered(text[:512], UNIT + 1, tag) == b""
    assert device.deciphered(text[:512] * 2, UNIT, tag * 2) == PLAIN  # the other is not where it was written


def authenticated(key, mac, vector, mode):
    text = Cipher(algorithms.AES(key), mode(vector)).encryptor().update(PLAIN)
    return text, hmac.digest(mac, SECTOR + vector + text, "sha256")


@pytest.mark.parametrize("name", ["capi:authenc(hmac(sha256),xts(aes))-plain64",
                                  "capi:authenc(hmac(sha256),cryptd(xts(ecb(aes-aesni))))-plain64"])
def test_the_key_of_the_code_comes_last(name):
    mac = bytes(range(32))
    text, code = authenticated(bytes.fromhex(KEY), mac, UNIT.to_bytes(16, "little"), modes.XTS)
    device = parse_ciphertext(table(name, KEY + mac.hex(), options=" 1 integrity:32:aead"))
    assert device.deciphered(text, UNIT, code) == PLAIN
    assert device.deciphered(text, UNIT, code[::-1]) == b""
    # Authenticated is the sector, and in the vector the offset is added to it.
    assert parse_ciphertext(table(name, KEY + mac.hex(), offset=1)).deciphered(text, UNIT, code) == b""


def test_essiv_is_keyed_by_both_keys_and_authenticated_as_it_is_used():
    key, mac = bytes.fromhex(KEY[:64]), bytes.fromhex(KEY[64:])
    salt = hashlib.sha256(key + mac).digest()
    vector = Cipher(algorithms.AES(salt), modes.ECB()).encryptor().update(UNIT.to_bytes(16, "little"))
    text, code = authenticated(key, mac, vector, modes.CBC)
    device = parse_ciphertext(table("capi:authenc(hmac(sha256),cbc(aes))-essiv:sha256", options=" 1 integrity:32:aead"))
    assert device.deciphered(text, UNIT, code) == PLAIN
