from __future__ import annotations

import hashlib

import pytest

from nullbay.config.person_pin import UnfitPinError, agrees, checked_text, scrypt_text


def test_a_pin_agrees_with_its_own_text_and_no_other() -> None:
    text = scrypt_text("4711")
    assert checked_text(text) == text
    assert agrees("4711", text)
    assert not agrees("4712", text)
    assert not agrees("", text)
    assert not agrees("4711" * 1000, text)
    assert not agrees("47\ud80011", text)


def test_the_text_is_plain_scrypt_as_rfc_7914_says() -> None:
    salt = bytes(range(16))
    made = hashlib.scrypt(b"4711", salt=salt, n=2**15, r=8, p=1, maxmem=2**26, dklen=32)
    assert scrypt_text("4711", salt) == f"scrypt:32768:8:1:{salt.hex()}:{made.hex()}"


def test_every_text_has_a_salt_of_its_own() -> None:
    assert scrypt_text("4711") != scrypt_text("4711")


@pytest.mark.parametrize("pin", ["", "123", "12 34", "1" * 33, "123\n", "12ä4"])
def test_a_pin_that_is_none_is_refused_and_not_repeated(pin: str) -> None:
    with pytest.raises(UnfitPinError) as error:
        scrypt_text(pin)
    assert not pin or repr(pin) not in str(error.value)
    assert error.value.code == "pin.unfit"
