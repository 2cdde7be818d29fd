"""Filling a cache and looking at what is there, for the tests of `fill` and `adopt`."""

from __future__ import annotations

from retrain_tools.features.fill import CacheOptions, fill_cache


def run(frozen, images, folder, **options):
    return fill_cache(frozen, images, CacheOptions(str(folder), **options))


def counts(report):
    return (report.computed, report.reused, report.repaired, len(report.failed))


def texts(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.txt")}
