"""The comment field of EXIF in every encoding that tools write it in."""

import pytest

from ldmcli.outputs.exif_comment import decode_comment

TEXTS = [
    "a dog\nSteps: 20, Sampler: Euler",
    "café",
    "一只猫在垫子上",
    "собака",
    "日本語 😀\nNegative prompt: 醜い",
    '{"prompt": "x"}',
    "dog",
]
FORMS = {
    "big-endian, as A1111": lambda text: b"UNICODE\0" + text.encode("utf-16-be"),
    "little-endian, as exiftool and browsers": lambda text: b"UNICODE\0" + text.encode("utf-16-le"),
    "big-endian with a mark": lambda text: b"UNICODE\0\xfe\xff" + text.encode("utf-16-be"),
    "little-endian with a mark": lambda text: b"UNICODE\0\xff\xfe" + text.encode("utf-16-le"),
    "little-endian, padded": lambda text: b"UNICODE\0" + text.encode("utf-16-le") + b"\0\0",
    "UTF-8 under ASCII": lambda text: b"ASCII\0\0\0" + text.encode(),
    "UTF-8 under nothing": lambda text: bytes(8) + text.encode(),
    "UTF-8 without any code": lambda text: text.encode(),
    "read by Pillow as an ASCII field": lambda text: text.encode().decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_text_comes_back(text, form):
    assert decode_comment(FORMS[form](text)) == text


def test_ascii_under_the_code_of_utf_16_is_read_as_it_stands():
    assert decode_comment(b"UNICODE\0a dog on a mat, Steps: 20") == "a dog on a mat, Steps: 20"


@pytest.mark.parametrize("raw", [b"", b"UNICODE\0", b"UNICODE\0a", b"UNICODE\0\xd8\0\xff", b"\xff\xfe\xfd", b"JIS\0\0\0\0\0\x1b$"])
def test_damage_makes_no_error(raw):
    assert isinstance(decode_comment(raw), str)
