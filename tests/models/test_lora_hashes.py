"""19: the hash of a LoRA in the text for other tools is the one that A1111 and Civitai know it by."""

import hashlib

import numpy as np
from safetensors.numpy import save_file

from ldmcli.models.lora_source import find_lora
from ldmcli.prompts.parameters import parameters_text, read_parameters

FACTS = {
    "prompt": "a dog", "negative_prompt": "", "seed": 1, "cfg": 7.5, "cfg_interval": None, "weighting": "none", "long_prompts": False,
    "width": 64, "height": 64, "scheduler": {"steps": 20}, "unet_sha256": "0" * 64, "model": "m", "ldm": "0",
}  # fmt: skip


def write(path, **header):
    save_file({"lora_unet_x.lora_down.weight": np.arange(12, dtype=np.float32).reshape(3, 4)}, path, metadata=header or None)
    return find_lora(str(path))


def test_it_is_the_sha256_of_what_follows_the_header(tmp_path):
    """One tensor: what follows the header are its bytes and nothing else."""
    lora = write(tmp_path / "colours.safetensors", ss_output_name="colours")
    expected = hashlib.sha256(np.arange(12, dtype="<f4").tobytes()).hexdigest()
    assert lora.weights_sha256 == expected
    text = parameters_text({**FACTS, "loras": [lora.facts()]}, "Euler", None)
    assert read_parameters(text)[2]["Lora hashes"] == f"colours: {expected[:12]}"


def test_notes_in_the_header_change_the_file_and_not_the_hash(tmp_path):
    plain, noted = write(tmp_path / "a.safetensors"), write(tmp_path / "b.safetensors", ss_training_comment="longer")
    assert plain.weights_sha256 == noted.weights_sha256 and plain.sha256 != noted.sha256


def test_names_are_spelled_as_a1111_spells_them(tmp_path):
    first, second = write(tmp_path / "a, b.safetensors"), write(tmp_path / "c.safetensors")
    text = parameters_text({**FACTS, "loras": [first.facts(), second.facts()]}, "Euler", None)
    pairs = [pair.split(": ") for pair in read_parameters(text)[2]["Lora hashes"].split(", ")]
    assert pairs == [["a b", first.weights_sha256[:12]], ["c", second.weights_sha256[:12]]]
