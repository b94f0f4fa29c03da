"""Tables of figures in 80 columns. Rich is imported when one is drawn."""

from collections.abc import Iterator, Sequence

from ldmcli.console.output import show_json, shown
from ldmcli.console.text import printable
from ldmcli.records.costs import BenchReport, BenchRow, SpaceRow, Spread, TrainingRow
from ldmcli.records.events import Event
from ldmcli.records.words import counted


def show_bench(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """The report as JSON, as bare medians in seconds (a failure is a dash), or as tables."""
    for event in shown(events, quiet=quiet):
        if not isinstance(event, BenchReport):
            continue
        if as_json:
            show_json(event.body())
        elif quiet:
            for row in event.rows:
                print(f"{row.total_s.median:.6g}" if row.total_s else "-")
        else:
            _bench_tables(event)


def _bench_tables(report: BenchReport) -> None:
    rows, env = report.rows, report.env
    shared = set.intersection(*(set(_asked(row)) for row in rows))
    said = ", ".join(part for part in _asked(rows[0]) if part in shared)
    has_psnr = any(row.psnr_vs_fp32 is not None or row.nonfinite for row in rows)
    head = ["", "configuration", "seconds", "img/s", "ms/call", "memory", "of peak", *(["PSNR"] if has_psnr else [])]
    lines = [
        [str(place), ", ".join(part for part in _asked(row) if part not in shared), *_bench_cells(row)] for place, row in enumerate(rows, 1)
    ]
    _table(f"{env['model']}, {said}: medians of {counted(env['runs'], 'run')}", head, [line[: len(head)] for line in lines])
    for place, row in enumerate(rows, 1):
        if row.error:
            _talk(f"{place}: {row.error}")
    done = next((row for row in rows if row.total_s), None)
    if done:
        _parts(done, env["matmul_flops_per_s"][done.dtype])
    _peers(rows)
    _spaces(report.pixel_space)
    _training(report.training)


def _asked(row: BenchRow) -> list[str]:
    """The configuration in words; what was left to a model that could not say is left out."""
    size, steps = f"{row.width}x{row.height}", f"{row.scheduler} {row.steps}"
    known = (True, True, row.width is not None, row.scheduler is not None)
    return [part for part, said in zip((row.dtype, f"batch {row.batch_size}", size, steps), known, strict=True) if said]


def _bench_cells(row: BenchRow) -> list[str]:
    if not row.total_s or row.images_per_s is None or row.unet_call_ms is None or row.fraction_of_peak is None:
        return ["failed"]
    memory = row.peak_vram_bytes if row.peak_vram_bytes is not None else row.peak_rss_bytes
    exact = f"{row.nonfinite} NaN" if row.nonfinite else "" if row.psnr_vs_fp32 is None else f"{row.psnr_vs_fp32:.1f}"
    return [
        _seconds(row.total_s),
        _figure(row.images_per_s),
        _figure(row.unet_call_ms),
        f"{_figure((memory or 0) / 2**30)} GiB",
        f"{row.fraction_of_peak:.1%}",
        exact,
    ]


def _parts(row: BenchRow, peak: float) -> None:
    """Where the time of a configuration goes. peak: FLOP/s."""
    assert row.params and row.weight_bytes and row.flops and row.flops_per_image
    text, decoder = row.flops["text_encoder"], row.flops["vae_decoder"]
    work = {
        "text_encoder": (row.encode_s, text),
        "unet": (row.denoise_s, row.flops_per_image - text - decoder),
        "vae_decoder": (row.decode_s, decoder),
    }
    lines = []
    for part, count in row.params.items():
        line = [part, f"{count / 1e6:.2f} M", f"{row.weight_bytes[part] / 2**20:,.1f} MiB"]
        if part in work:
            seconds, flops = (work[part][0] or 0.0) / row.batch_size, work[part][1]
            rate = flops / seconds if seconds else 0.0
            line += [_figure(1000 * seconds), _figure(flops / 1e9), _figure(rate / 1e9), f"{rate / peak:.1%}"]
        lines.append([*line, *([] if part in work else ["not run"])])
    _table(f"one picture, {row.dtype}, batch {row.batch_size}", ["part", "params", "weights", "ms", "GFLOP", "GFLOP/s", "of peak"], lines)
    kept, plain = row.flops["unet_call"] / 1e9, row.flops["unet_plain"] / 1e9
    _talk(f"A U-Net call is {plain:.4g} GFLOP; {kept:.4g} where the text's keys and values are kept from the first call.")
    _talk(
        f"A picture is {row.flops_per_image / 1e9:.4g} GFLOP as it was drawn, {row.flops['plain_total'] / 1e9:.4g} without anything kept."
    )
    _talk(f"Peak: {peak / 1e9:,.0f} GFLOP/s, the best matrix product measured here in {row.dtype}.")


def _peers(rows: Sequence[BenchRow]) -> None:
    lines = [
        [str(place), peer.peer, f"{peer.ours_s.median:.3f}", f"{peer.total_s.median:.3f}", f"{peer.ratio:.2f}",
         f"{peer.ratio_ci95[0]:.2f}-{peer.ratio_ci95[1]:.2f}", f"{(row.growth_bytes or 0) / 2**20:,.0f}",
         f"{peer.growth_bytes / 2**20:,.0f}", "-" if peer.max_difference is None else f"{peer.max_difference:.2f}"]
        for place, row in enumerate(rows, 1) for peer in row.compare or []
    ]  # fmt: skip
    if lines:
        head = ["", "peer", "ldm s", "peer s", "ratio", "95 %", "ldm MiB", "peer MiB", "diff"]
        _table("the same pictures in turn with others (diffusers: StableDiffusionPipeline)", head, lines)
        _talk("MiB: the most memory beyond what was held before the model was opened. Diff: the largest, in levels of 0 to 255.")


def _spaces(rows: Sequence[SpaceRow]) -> None:
    lines = []
    for row in rows:
        line = [row.model, row.space, "x".join(map(str, row.shape))]
        if row.flops_per_call is None or row.flops_per_image is None or row.activation_bytes is None:
            lines.append([*line, "failed"])
            continue
        figures = (row.flops_per_call / 2e9, row.flops_per_image / 1e12, row.activation_bytes / 2**20)
        called = _figure(1000 * row.call_s.median) if row.call_s else "not run"
        lines.append([*line, *map(_figure, figures), called])
    if not lines:
        return
    head = ["model", "space", "shape", "GMAC/call", "TFLOP/image", "MiB", "ms/call"]
    _table("the same U-Net on latents and on pixels, two samples a call", head, lines)
    _talk("MiB: the tensors alive at once during a call, beside the weights, in fp32.")
    for row in rows:
        if row.error:
            _talk(f"{row.model}, {row.space}: {row.error}")
        elif row.model == "sd-v1.4" and row.params and row.space == "latents":
            _talk("sd-v1.4, parameters: " + ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in row.params.items()))


def _training(rows: Sequence[TrainingRow]) -> None:
    for row in rows:
        if row.error or not row.step_s or row.images_per_s is None or row.flops_per_step is None or row.achieved_flops_per_s is None:
            _talk(f"training: {row.error}")
            continue
        share = "" if row.fraction_of_peak is None else f", {row.fraction_of_peak:.1%} of peak"
        _talk(
            f"training, mixed precision {row.mixed_precision}, batch {row.batch_size}, {row.width}x{row.height}: "
            f"{_seconds(row.step_s)} s a step, {_figure(row.images_per_s)} img/s, "
            f"{_figure(row.flops_per_step / 1e9)} GFLOP a step, {_figure(row.achieved_flops_per_s / 1e9)} GFLOP/s{share}"
        )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Words left, numbers right. Text is text: nothing in it is read as markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=Text(printable(title)), title_justify="left")
    words = {"", "configuration", "part", "model", "space"}
    for name in head:
        table.add_column(Text(name), justify="left" if name in words else "right", no_wrap=name not in words)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


def _seconds(total: Spread) -> str:
    """Median and standard deviation to the same decimal."""
    digits = 3 if total.median < 10 else 1
    return f"{total.median:.{digits}f}±{total.stddev:.{digits}f}"


def _figure(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _talk(line: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console().print(Text(printable(line)))
