"""What a scan found, as a table, a line for each file, or JSON."""

from __future__ import annotations

import collections
import json
from collections.abc import Sequence

from retrain_tools.safety.findings import Finding, Report, Severity, plain
from retrain_tools.text_tables import Style, aligned, counted

_COLUMNS = ("severity", "what", "where", "why")


def scan_table(reports: Sequence[Report], style: Style) -> str:
    """Return a heading for each file, and a table of its findings below it.

    Findings of the same op for the same reason are one line, which says how many there are.
    """
    return "\n".join(_table(report, style) for report in reports)


def scan_summary(reports: Sequence[Report], style: Style) -> str:
    """Return one line for each file: what it is, and how often what was found in it."""
    return "".join(f"{style.bold(plain(r.path))}: {plain(_said(r))}\n" for r in reports)


def scan_json(reports: Sequence[Report]) -> str:
    """Return a JSON list with an object for each file.

    Its keys are `path`, `kind`, `looked_at`, `clean` and `findings`, each of these with `severity`,
    `rule`, `name`, `why`, `path`, `node`, `function` and `within`; what is empty is null.
    """
    files = [
        {
            "path": report.path,
            "kind": report.kind,
            "looked_at": report.looked_at,
            "clean": report.is_clean,
            "findings": [_object(finding) for finding in report.findings],
        }
        for report in reports
    ]
    return json.dumps(files, indent=1) + "\n"


def findings_line(findings: Sequence[Finding]) -> str:
    """Return how many findings of each severity there are, and of what: `1 high (ReadFile)`."""
    parts = []
    for severity in sorted(Severity, reverse=True):
        names = collections.Counter(f.name for f in findings if f.severity is severity)
        if names:
            listed = [name if count == 1 else f"{count} × {name}" for name, count in names.items()]
            parts.append(f"{names.total()} {severity.word} ({', '.join(listed)})")
    return "; ".join(parts)


def _said(report: Report) -> str:
    looked_at = f"{report.kind}, {counted(report.looked_at, 'part')} looked at"
    return f"{looked_at}: {findings_line(report.findings) or 'nothing found'}"


def _table(report: Report, style: Style) -> str:
    counts = [f"{len(report.of(s))} {s.word}" for s in sorted(Severity, reverse=True)]
    said = ", ".join(count for count in counts if not count.startswith("0 ")) or "nothing found"
    heading = f"{plain(report.path)}: {report.kind}, {counted(report.looked_at, 'part')} looked at"
    lines = f"{style.bold(heading)}: {said}\n"
    if not report.findings:
        return lines
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in report.findings:
        key = finding.severity.word, plain(finding.name), finding.path, plain(finding.why)
        alike.setdefault(key, []).append(finding)
    rows = []
    for (severity, name, _, why), found in alike.items():
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        rows.append((severity, name, _where(found[0], report) + more, why))
    table = aligned([_COLUMNS, *rows], Style())
    return lines + "".join(f"  {line}\n" for line in table.splitlines())


def _where(finding: Finding, report: Report) -> str:
    """Return the place of a finding, with the file in an archive or folder in front."""
    inner = finding.path.removeprefix(report.path).lstrip("/")
    return " ".join(filter(None, [plain(inner), plain(finding.place)])) or "-"


def _object(finding: Finding) -> dict[str, str | None]:
    return {
        "severity": finding.severity.word,
        "rule": finding.rule,
        "name": finding.name,
        "why": finding.why,
        "path": finding.path,
        "node": finding.node or None,
        "function": finding.function or None,
        "within": finding.within or None,
    }
