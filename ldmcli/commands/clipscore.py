"""`ldm clipscore`: how well pictures show what their captions say."""

from ldmcli.commands.builder import command
from ldmcli.commands.settings import Invocation
from ldmcli.config.measuring import ClipScoreConfig
from ldmcli.config.shared import ReportOptions
from ldmcli.console import output
from ldmcli.models.scorer_source import find_scorer


@command(
    "clipscore", ClipScoreConfig, ReportOptions,
    examples=("ldm clipscore outputs/ --baseline shuffled", "ldm clipscore --data coco/ --limit 5000 --output scores.csv"),
)  # fmt: skip
def clipscore(invocation: Invocation) -> None:
    """Score pictures against their captions with a CLIP: CLIPScore with its uncertainty, floor and paired comparison.

    Without IMAGE the pictures of --data are scored; without --captions and --data the captions are those in the pictures themselves.
    """
    config, report = invocation.options(ClipScoreConfig), invocation.options(ReportOptions)
    if config.clip_model is not None:
        find_scorer(config.clip_model, offline=config.offline)  # a typo is told before torch is imported

    from ldmcli.engine.score.listing import list_pairs_alone

    listing = list_pairs_alone(config)  # so is a mistake in the captions

    from ldmcli.engine.score.run import run_clipscore

    output.show_scored(run_clipscore(config, listing), as_json=report.as_json, quiet=report.quiet)
