"""--init-image and --mask before anything is loaded."""

import struct

import pytest
from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.requests import Request, RequestList
from ldmcli.engine.sampling.start_files import check_start, open_picture
from ldmcli.errors import LdmError


def test_a_file_that_all_start_from_is_refused_in_the_same_words_before_anything_is_loaded(tmp_path):
    photo = tmp_path / "photo.png"
    Image.linear_gradient("L").save(photo)
    wide, cut, text = tmp_path / "wide.bmp", tmp_path / "cut.png", tmp_path / "text.png"
    wide.write_bytes(b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0))
    cut.write_bytes(photo.read_bytes()[:20])
    text.write_text("no picture")
    for path in (wide, cut, text, tmp_path / "none.png"):
        for named in ({"init_image": path}, {"init_image": photo, "mask": path}):
            with pytest.raises(LdmError) as late:
                open_picture(path, "--init-image" if len(named) == 1 else "--mask")
            with pytest.raises(LdmError) as early:
                check_start(RequestList([Request("a dog", GenerateConfig(**named))]))
            assert (early.value.exit_code, early.value.message, early.value.hint) == (
                late.value.exit_code, late.value.message, late.value.hint,
            )  # fmt: skip
    requests = [Request("a dog", GenerateConfig(init_image=each)) for each in (text, photo)]
    check_start(RequestList(requests))  # one of two is a failure of its own
    check_start(RequestList(requests[1:]))
    check_start(RequestList([Request("a dog", GenerateConfig())]))
