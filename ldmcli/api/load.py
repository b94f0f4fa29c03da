"""Open a model. Imports no torch before the model is known to be there."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

from ldmcli.api.arguments import MODEL, ModelArguments, Path, read_arguments
from ldmcli.api.wording import python_words
from ldmcli.config.generation import GenerateConfig
from ldmcli.models.source import find_source
from ldmcli.runtime.threads import wait_briefly

if TYPE_CHECKING:
    from ldmcli.api.pipeline import Pipeline


@python_words()
def load(model: Path = "bundled", *, device: Any = "auto", dtype: Any = "auto", **options: Unpack[ModelArguments]) -> "Pipeline":
    """Open a model: `bundled`, a training run, a diffusers folder, a .safetensors file or a hub id, as `ldm generate -m` takes it.

    device: auto, cpu, cuda, cuda:N or mps; dtype: auto, fp32, fp16 or bf16; torch's own devices and dtypes will do too.
    options: vae, tokenizer, lora, prediction, variant, allow_pickle, offline, vae_dtype, fuse and backend, as `ldm generate --help`
    explains them. LDM_ variables are for the command line and are not read here.

    Threads: where torch is not imported yet, it is imported here and computes as it does for the commands: by as many threads as this
    process has cores, or OMP_NUM_THREADS, and threads that have nothing to do wait briefly, unless OMP_WAIT_POLICY, GOMP_SPINCOUNT or
    KMP_BLOCKTIME says otherwise. Where torch is imported already, its threads are yours and stay as they are.

    Raises LdmError: a model that is not there, a damaged file, an argument that cannot be.
    """
    config = read_arguments(GenerateConfig(), {"model": model, "device": device, "dtype": dtype, **options}, MODEL, "load()")
    with without_network(config.offline):
        source = find_source(config)
        ours = "torch" not in sys.modules
        if ours:
            wait_briefly()

        from ldmcli.api.pipeline import Pipeline
        from ldmcli.engine.sampling.open_model import open_model
        from ldmcli.runtime.device import set_threads

        if ours:
            set_threads()
        return Pipeline(open_model(config, source), config)


@contextmanager
def without_network(wanted: bool) -> Iterator[None]:
    """With `wanted` the hub's own switch is on in the block, and as it was after it."""
    if not wanted:
        yield
        return
    import huggingface_hub.constants  # noqa: F401  # reads the switch once for the whole process: before it is on

    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
