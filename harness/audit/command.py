"""`alexbench audit`: read a network, hold it against a reference, measure, report, and say by the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from harness import command_line, environment, option_record, own_code, run_claim
from harness.audit import costs, departures, measure, photographs, rows
from harness.audit.consequence import NOT_ASKED_FOR, Judged, in_order
from harness.audit.departure import Departure, together
from harness.audit.measure import Bench
from harness.audit.options import AuditOptions
from harness.errors import CannotMeasure, UsageError
from harness.own_code import OwnCode
from harness.parity.command import in_folder
from harness.progress import Progress
from harness.run_folder import RunFolder
from impls import catalog, weights
from impls.derive import InvalidNetwork
from impls.reading import Reading
from impls.spec import Network

NOTHING_DEPARTS, DEPARTS = 0, 1

Outcome = tuple[int, list[str], dict[str, float]]


def run(options: AuditOptions) -> int:
    """Compare, measure, report; returns the exit code.

    Raises AlexbenchError, what the reader of the source raises, and KeyboardInterrupt.
    """
    run_claim.check(options.out, overwrite=options.overwrite, reads=options.images)
    reference = catalog.get(options.against)
    if options.measure and reference.large and not options.large:
        raise UsageError(
            f"network {reference.name!r} needs some 16 GB of memory to measure on: pass --large, or --no-measure"
        )
    from harness.reading import sources

    module = sources.module_of(options.source)
    if options.keep_impl and not module:
        raise UsageError(f"--keep-impl keeps a copy of your own code, and {options.source} is none: leave it out")
    code = own_code.read({options.source: module} if module else {}, keep=options.keep_impl)
    theirs = sources.read(options.source, options.side, dict(options.pythons), options.timeout_s)
    return audit(theirs, reference, options, code)


def audit(theirs: Reading, reference: Network, options: AuditOptions, code: OwnCode | None = None) -> int:
    """A network that was read already; `code` is what it was read from, where that is the user's own."""
    code = code or OwnCode()
    found = [_judged(departure, reference, options) for departure in departures.compare(theirs, reference)]
    measurable = [judged.departure for judged in found if not judged.obstacle]
    pixels = _pixels(options, reference, measurable) if measurable else None  # bad photographs cost no earlier run
    signature = environment.signature(network=reference.name, audited=theirs.name)
    folder = RunFolder.create(
        "audit",
        option_record.recorded(options),
        options.out,
        overwrite=options.overwrite,
        reads=options.images,
        signature=signature,
        command_line=command_line.of("audit", options),
        facts={**_facts(theirs, reference), **code.told()},
    )

    def work() -> Outcome:
        started = time.monotonic()
        code.keep(folder.path)
        _Work(theirs.name, reference, options, folder, found).do(pixels)
        _show(folder, options)
        timings = {"seconds": time.monotonic() - started, "peak_memory_mb.harness": environment.peak_memory_mb()}
        return (DEPARTS if found and options.strict else NOTHING_DEPARTS), [], timings

    return in_folder(folder, work)


def _judged(departure: Departure, reference: Network, options: AuditOptions) -> Judged:
    change = None if departure.alone is None else costs.of(departure.alone).less(costs.of(reference))
    obstacle = measure.obstacle(departure, reference)
    return Judged(departure, change, None, obstacle or ("" if options.measure else NOT_ASKED_FOR))


def _pixels(options: AuditOptions, reference: Network, measurable: Sequence[Departure]) -> photographs.Pixels:
    """As large as the largest of the networks that are to see them. Raises CannotMeasure for another channel count."""
    networks = [reference, *(departure.alone for departure in measurable if departure.alone is not None)]
    if reference.channels not in (1, 3):
        raise CannotMeasure(f"network {reference.name!r} takes {reference.channels} channels: {measure.NO_COLOURS}")
    height, width = max(network.height for network in networks), max(network.width for network in networks)
    return photographs.windows(options.images, height, width)


class _Work:
    """One audit under way: its rows are in the folder from the beginning, and fill as they are measured."""

    def __init__(
        self, name: str, reference: Network, options: AuditOptions, folder: RunFolder, found: list[Judged]
    ) -> None:
        self._names = (name, reference.name)
        self._reference = reference
        self._options = options
        self._folder = folder
        self._found = found
        self._signature = str(folder.facts["signature"])
        self._together: list[rows.Row] = []

    def do(self, pixels: photographs.Pixels | None) -> None:
        """Measure what can be."""
        self._keep()
        if pixels is None:
            return
        places = [place for place, judged in enumerate(self._found) if not judged.obstacle]
        with Progress(f"audit of {self._names[0]}") as progress:
            progress.expect("departures", len(places) + 2)  # with the weights before them and all together behind
            progress.say(f"weights of {self._reference.name}, {len(pixels)} photographs")
            bench = Bench(self._reference, pixels, self._options.recipe, self._options.seed)
            self._sign(bench)
            progress.advance("departures", 1)
            for place in places:
                judged = self._found[place]
                progress.say(f"{judged.departure.facet} {judged.departure.place}".rstrip())
                if judged.departure.alone is not None:
                    self._found[place] = judged._replace(measured=bench.measure(judged.departure.alone))
                self._keep()
                progress.advance("departures", 1)
            if len(places) > 1:
                progress.say("all of them together")
                self._measure_together(bench, [self._found[place].departure for place in places])
            progress.end("departures")

    def _sign(self, bench: Bench) -> None:
        """Figures are of these weights."""
        self._signature = environment.signature(
            network=self._names[1],
            weights=weights.content_hash(bench.weights)[:12],
            seed=self._options.seed,
            precision="float64",
            audited=self._names[0],
        )
        self._folder.note(signature=self._signature)

    def _measure_together(self, bench: Bench, measurable: Sequence[Departure]) -> None:
        note, measured = "", None
        try:
            network = together(measurable)(self._reference)
            note = measure.misfit(network, self._reference)
        except InvalidNetwork as error:
            note = f"together they do not fit the reference: {error}"
        if not note:
            measured = bench.measure(network)
        self._together = [rows.together(len(measurable), measured, self._names, note, self._signature)]
        self._keep()

    def _keep(self) -> None:
        """Write all rows anew, so that an interrupt finds every departure and what was measured of it."""
        made = [*rows.of(in_order(self._found), self._names, self._signature), *self._together]
        try:
            self._folder.replace("audit", made)
        except OSError as error:
            raise CannotMeasure(f"cannot write in {self._folder.path}: {error.strerror or error}") from None


def _facts(theirs: Reading, reference: Network) -> dict[str, Any]:
    """What a report says beside the departures."""
    facts: dict[str, Any] = {
        "network": theirs.name,
        "against": reference.name,
        "source": theirs.source,
        "silent": sorted(theirs.silent),
        "remarks": list(theirs.remarks),
        "reference_totals": costs.of(reference)._asdict(),
    }
    try:
        facts["totals"] = costs.of_reading(theirs)._asdict()
    except (InvalidNetwork, ZeroDivisionError) as error:
        facts["remarks"].append(f"what was read does not fit together, so its costs are not known: {error}")
        return facts
    if theirs.foreign:
        facts["remarks"].append("multiply-adds of foreign layers are not known and not counted")
    return facts


def _show(folder: RunFolder, options: AuditOptions) -> None:
    """Print the form that was asked for; CSV and JSON are the table and nothing else."""
    if options.form == "table":
        folder.show()
        return
    from reports import tables
    from reports.documents import audit as document
    from reports.render import markdown

    table = tables.frame("audit", folder.rows("audit"))
    if options.form == "markdown":
        text = markdown.text(document.listing({"audit": table}, folder.facts))
    else:
        text = tables.csv_text(table) if options.form == "csv" else tables.json_text(table)
    sys.stdout.write(text)
    sys.stdout.flush()
