"""What a scan found as SARIF, the form in which code hosts take the findings of checkers.

SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from retrain_tools import __version__
from retrain_tools.safety.findings import Finding, Report, Severity, plain
from retrain_tools.safety.op_table import RULES, UNKNOWN

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}


def scan_sarif(reports: Sequence[Report]) -> str:
    """Return the findings in all files as one run of SARIF 2.1.0."""
    findings = [finding for report in reports for finding in report.findings]
    first = {finding.rule: finding for finding in reversed(findings)}
    driver = {
        "name": "retrain_tools.scan",
        "version": __version__,
        "rules": [_rule(first[rule]) for rule in sorted(first)],
    }
    run = {
        "tool": {"driver": driver},
        "artifacts": [{"location": {"uri": _uri(report.path)}} for report in reports],
        "results": [_result(finding) for finding in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    known = next((rule for rule in (*RULES, UNKNOWN) if rule.id == finding.rule), None)
    said = {"id": finding.rule, "shortDescription": {"text": plain(finding.why)}}
    if known is None:
        return said
    return {
        **said,
        "shortDescription": {"text": known.why},
        "help": {"text": f"{known.why}. Source: {known.source}"},
        "defaultConfiguration": {"level": _LEVELS[known.severity]},
    }


def _result(finding: Finding) -> dict[str, Any]:
    place = f"{plain(finding.name)} {plain(finding.place)}".strip()
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(finding.path)}}
    }
    if finding.node:
        qualified = "/".join(filter(None, [finding.within, finding.function, finding.node]))
        location["logicalLocations"] = [
            {"name": finding.node, "fullyQualifiedName": qualified, "kind": "element"}
        ]
    return {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{place} {plain(finding.why)}."},
        "locations": [location],
    }


def _uri(path: str) -> str:
    """Return a path as SARIF has it: with slashes, and whatever is special written as %XX."""
    return quote(PurePath(path).as_posix(), errors="surrogateescape")
