"""Everything that the engine yields: console/ draws it, --json dumps it, tests read it."""

from ldmcli.records.comparison import ComparedRow, ComparisonReport
from ldmcli.records.costs import BenchReport
from ldmcli.records.notes import Note, Progress, Saved
from ldmcli.records.pictures import GenerateReport, ImageRecord, Preview, Verified
from ldmcli.records.scores import ClipScoreReport
from ldmcli.records.training import RunPlan, TrainDone, TrainStep

Event = (
    Note
    | Progress
    | Preview
    | TrainStep
    | Saved
    | TrainDone
    | RunPlan
    | ImageRecord
    | GenerateReport
    | Verified
    | ClipScoreReport
    | ComparedRow
    | ComparisonReport
    | BenchReport
)
