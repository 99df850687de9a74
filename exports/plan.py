"""What one run does: the settings of its export as values, taken down as they were at the snapshot."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from exports import columns, formats
from exports.models import Export, ExportColumn
from exports.reasons import DeliveryError
from segments.models import Segment


@dataclass(frozen=True)
class Chosen:
    """A segment as it was at T; `version` is the one whose members count."""

    id: int
    code: str
    name: str
    version: int = 0


@dataclass(frozen=True)
class Plan:
    """The settings of an export that decide what its files hold and what they are called."""

    advertiser_id: int
    advertiser: str
    export: str
    zone: str
    layout: str
    mode: str
    segments: tuple[Chosen, ...]
    columns: tuple[columns.Column, ...]
    form: formats.Csv
    compression: str
    split_rows: int | None
    split_bytes: int | None
    empty: str
    minimum_size: int
    file_name: str
    is_first_part_numbered: bool
    name_taken: str
    has_manifest: bool
    sentinel_ending: str
    # Where the files go, in words: a destination that was moved since has none of this run's files.
    address: str

    def for_segment(self, segment: Chosen) -> "Plan":
        """Return the plan of the file of one segment."""
        return replace(self, segments=(segment,))

    def headers(self) -> list[str]:
        """Return the header line, columns that stand for several values and segment flags included."""
        names = [name for column in self.columns for name in column.headers()]
        return names + ([segment.code for segment in self.segments] if self.has_flags else [])

    def kinds(self) -> list[str]:
        """Return the kind of each column of the file, see `columns.Source`."""
        kinds = [column.kind for column in self.columns for _ in range(column.width)]
        return kinds + ["boolean"] * (len(self.segments) if self.has_flags else 0)

    @property
    def has_flags(self) -> bool:
        return self.layout == Export.Layout.SEGMENT_FLAGS

    def as_json(self) -> dict[str, Any]:
        """Return what is recorded of the plan with its run."""
        return asdict(self)


def plan_of(export: Export) -> Plan:
    """Return the plan of an export as it stands now; raises `DeliveryError` segment_gone."""
    segments = [named.segment for named in export.export_segments.select_related("segment")]
    return plan_with(export, segments, export.columns.all())


def plan_with(export: Export, segments: Iterable[Segment], rows: Iterable[ExportColumn]) -> Plan:
    """Return the plan of an export with these segments and columns, saved or not; raises as `plan_of`."""
    return Plan(
        advertiser_id=export.advertiser_id,
        advertiser=export.advertiser.name,
        export=export.name,
        zone=export.zone,
        layout=export.layout,
        mode=export.mode,
        segments=_chosen(segments),
        columns=tuple(_columns(rows)),
        form=form_of(export),
        compression=export.compression,
        split_rows=export.split_rows,
        split_bytes=export.split_bytes,
        empty=export.empty,
        minimum_size=export.minimum_size or export.destination.minimum_size,
        file_name=export.file_name,
        is_first_part_numbered=export.is_first_part_numbered,
        name_taken=export.name_taken,
        has_manifest=export.has_manifest,
        sentinel_ending=export.sentinel_ending if export.has_sentinel else "",
        address=export.destination.address,
    )


def form_of(export: Export) -> formats.Csv:
    """Return how an export's files are written."""
    return formats.Csv(
        delimiter=formats.delimiter_of(export.delimiter),
        quoting=export.quoting,
        line_end=export.line_end,
        has_header=export.has_header,
        null_text=export.null_text,
        booleans=export.booleans,
        times=export.times,
        encoding=export.encoding,
        is_formula_safe=export.is_formula_safe,
    )


def from_json(recorded: dict[str, Any]) -> Plan:
    """Return a recorded plan; the reverse of `Plan.as_json`."""
    values = dict(recorded)
    values["segments"] = tuple(Chosen(**segment) for segment in values["segments"])
    values["columns"] = tuple(columns.Column(**column) for column in values["columns"])
    values["form"] = formats.Csv(**values["form"])
    return Plan(**values)


def _chosen(segments: Iterable[Segment]) -> tuple[Chosen, ...]:
    chosen = []
    for segment in segments:
        if segment.deleted_at is not None:
            raise DeliveryError("segment_gone", segment=segment.name)
        chosen.append(Chosen(segment.pk, segment.code, segment.name))
    if not chosen:
        raise DeliveryError("segment_gone")
    return tuple(chosen)


def _columns(rows: Iterable[ExportColumn]) -> list[columns.Column]:
    return [
        columns.Column(
            source=column.source,
            header=column.header or columns.usual_header(column.source, column.identifier_kind),
            identifier_kind=column.identifier_kind,
            values=column.values,
            count=column.count,
            is_required=column.is_required,
            constant=column.constant,
        )
        for column in rows
    ]
