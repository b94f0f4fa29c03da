"""--preset: what stands in for the model's usual scheduler, steps and guidance where these are not named."""

from typing import Any

GENERAL: dict[str, dict[str, Any]] = {
    "balanced": {"scheduler": "dpm++2m-karras", "steps": 20},
    "fast": {"scheduler": "dpm++2m-karras", "steps": 12},
}
"""Of models that name none: numbers of steps that are usual for Stable Diffusion."""

KEYS = ("scheduler", "steps", "spacing", "cfg_interval", "cfg_reuse")


def preset_values(name: str | None, own: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values by option, and notes. own: `_ldm` of the model, whose `presets` were measured for it (scripts/bench/presets.py)."""
    if name in (None, "exact"):
        return {}, ()
    measured = own.get("presets", {}).get(name)
    if measured is None:
        usual = own.get("defaults", {}).get("steps")
        if usual and usual <= GENERAL[name]["steps"]:  # type: ignore[index]
            return {}, (f"--preset {name}: this model names none of its own, and takes only {usual} steps as it is",)
        return GENERAL[name], (f"--preset {name}: this model names none of its own; what it costs here is not measured",)  # type: ignore[index]
    values = {key: value for key, value in measured.items() if key in KEYS}
    if "cfg_interval" in values:
        values["cfg_interval"] = tuple(values["cfg_interval"])
    return values, ()
