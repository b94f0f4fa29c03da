"""The report of `ldm clipscore` as lines of 80 columns and as JSON."""

import dataclasses
from typing import Any

from ldmcli.records.scores import ClipScoreReport
from ldmcli.records.words import counted


def clipscore_json(report: ClipScoreReport) -> dict[str, Any]:
    """The document of --json; a pair has the key `ref_clip_score` where --references gave one."""
    body = {"clipscore_w2.5" if key == "clipscore_w25" else key: value for key, value in dataclasses.asdict(report).items()}
    body["items"] = [{key: value for key, value in item.items() if value is not None} for item in body["items"]]
    return body


def score_table(report: ClipScoreReport) -> list[tuple[str, str]]:
    """(name, value) of every line."""
    low, high = report.ci95
    prefix = f', prefix "{report.prefix}"' if report.prefix else ""
    cut = f", {counted(report.truncated, 'caption')} cut" if report.truncated else ""
    rows = [
        ("scorer", f"{report.clip_model} ({report.preprocessing}{prefix})"),
        ("pairs", f"{report.n:,}: {counted(report.pictures, 'picture')}, {counted(report.captions, 'caption')}{cut}"),
        ("CLIPScore", f"{report.clip_score:8.3f}   95 % {low:.3f} .. {high:.3f}   SD {report.sd:.3f}"),
        ("", "           100 x cosine, as torchmetrics states it"),
        ("CLIPScore w=2.5", f"{report.clipscore_w25:8.4f}   2.5 x max(cosine, 0), Hessel et al. 2021"),
        ("cosine", f"{report.cosine_mean:8.4f}"),
    ]
    if report.ref_clip_score is not None:
        rows.append(("RefCLIPScore", f"{report.ref_clip_score:8.4f}   with the references, Hessel et al. 2021"))
    if report.baseline_shuffled is not None:
        rows.append(("shuffled captions", f"{report.baseline_shuffled:8.3f}   the floor; permutation test p = {report.shuffled_p:.4f}"))
    if report.compare is not None:
        other = report.compare
        low, high = other.ci95
        verdict = ("higher" if other.difference > 0 else "lower") if other.shown else "no difference shown"
        unpaired = f", {counted(other.unpaired, 'caption')} in one set only" if other.unpaired else ""
        rows += [
            ("minus the other", f"{other.difference:+8.3f}   95 % {low:+.3f} .. {high:+.3f}   {verdict}"),
            ("", f"           {other.other}: {counted(other.n, 'caption')} in common{unpaired}"),
        ]
    if report.distance is not None:
        far = report.distance
        rows += [
            ("FID", f"{far.fid:8.3f}   {counted(far.pictures, 'picture')} against {far.real_pictures:,}"),
            ("KID", f"{far.kid_mean:8.5f}   SD {far.kid_sd:.5f} over subsets"),
        ]
    return rows
