"""What dm-crypt has to have stored; that real kernels store it so is for testcases/test_crypt_ciphers.py to show."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

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
    table("capi:gcm(aes)-random"), table("aes-xts-benbi"), table("serpent-xts-plain64"),
    table(key=":64:logon:cryptsetup:1234"), "0 2048 linear 259:0 0", "",
])
def test_what_it_does_not_know_it_says(line):
    with pytest.raises(UserError, match=r"cannot decipher .* It knows AES in the modes xts and cbc"):
        parse_ciphertext(line)


@pytest.mark.parametrize(("sector", "length"), [(1, 4096), (0, 512)])
def test_half_a_sector_cannot_be_deciphered(sector, length):
    with pytest.raises(UserError, match="are not whole sectors of 4096 bytes"):
        parse_ciphertext(table(options=" 1 sector_size:4096")).deciphered(bytes(length), sector)
