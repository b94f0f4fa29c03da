"""The .yaml beside a checkpoint file, of the same name: what CompVis' code read to build the model. Imports no torch."""

from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import read_limited

PARAMETERIZATIONS = {"eps": "epsilon", "v": "v_prediction"}
"""CompVis' names of what the network predicts, and scheduler_config.json's."""


MOST_BYTES = 2**16
"""CompVis' own have 2,000; the parser takes a second for ten of these."""


def stated(checkpoint: Path) -> dict[str, Any]:
    """`model.params` of FILE.yaml beside FILE.safetensors, empty where there is none or it is of another kind. Raises LdmError."""
    path = next((path for ending in (".yaml", ".yml") if (path := checkpoint.with_suffix(ending)).is_file()), None)
    if path is None:
        return {}
    import yaml

    try:
        body = yaml.safe_load(read_limited(path, MOST_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise LdmError(f"{path}, which lies beside the model, is not readable YAML.", hint="Mend it or move it away.") from error
    model = body.get("model") if isinstance(body, dict) else None
    params = model.get("params") if isinstance(model, dict) else None
    return params if isinstance(params, dict) and "first_stage_config" in params else {}


def stated_schedule(checkpoint: Path) -> dict[str, Any]:
    """What it says of the schedule and the prediction, as scheduler_config.json would. Raises LdmError for what is not supported."""
    params = stated(checkpoint)
    if not params:
        return {}
    kind = params.get("parameterization", "eps")
    if not isinstance(kind, str) or kind not in PARAMETERIZATIONS:
        raise LdmError(f"the .yaml beside {checkpoint} says parameterization: {kind!r:.60}; eps and v are supported.")
    names = {"linear_start": "beta_start", "linear_end": "beta_end"}
    try:
        schedule = {ours: float(params[theirs]) for theirs, ours in names.items() if theirs in params}
        schedule |= {"num_train_timesteps": int(params["timesteps"])} if "timesteps" in params else {}
    except (TypeError, ValueError, OverflowError) as error:
        raise LdmError(f"the .yaml beside {checkpoint} has a schedule that is no number: {error}.") from error
    return {**schedule, "prediction_type": PARAMETERIZATIONS[kind]}
