from __future__ import annotations

from typing import Any

import pytest

from retrain_tools.engine import cpu, settings
from retrain_tools.engine.settings import RunSettings
from retrain_tools.errors import InputError


@pytest.fixture
def plain_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "has_bfloat16", lambda: False)


@pytest.fixture
def new_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "has_bfloat16", lambda: True)


@pytest.mark.usefixtures("plain_cpu")
def test_bfloat16_where_the_cpu_has_none_is_refused_and_auto_is_float32() -> None:
    with pytest.raises(InputError) as error:
        RunSettings(precision="bfloat16")
    assert str(error.value) == (
        "precision=bfloat16 needs a CPU that computes in it (AMX or AVX512_BF16), which this one "
        "does not; leave it out for float32."
    )
    assert RunSettings(precision="auto").computed_in == "float32"
    assert RunSettings(precision="auto").is_exact


@pytest.mark.usefixtures("new_cpu")
def test_auto_is_bfloat16_where_the_cpu_has_it() -> None:
    auto = RunSettings(precision="auto", batch_size=3)
    assert (auto.computed_in, auto.is_exact) == ("bfloat16", False)
    assert auto.exact() == RunSettings(batch_size=3)
    assert RunSettings(precision="bfloat16").computed_in == "bfloat16"
    assert RunSettings().is_exact


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"batch_size": 0}, "batch_size=0 must be at least 1."),
        ({"threads": -1}, "threads=-1 must be at least 1."),
        ({"precision": "half"}, "precision=half must be float32, bfloat16 or auto."),
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as error:
        RunSettings(**said)
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("text", "name", "has_bfloat16"),
    [
        ("model name\t: A CPU\nflags\t\t: fpu avx512_bf16 sse\n\nmodel name\t: B\n", "A CPU", True),
        ("model name\t: An Intel\nflags\t\t: amx_bf16\n", "An Intel", True),
        ("model name\t: Old\nflags\t\t: fpu avx2\n\nflags\t: amx_bf16\n", "Old", False),
    ],
)
def test_the_cpu_is_told_by_what_linux_says_of_the_first_one(
    text: str, name: str, has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu.Path, "read_text", lambda _: text)
    cpu._described.cache_clear()
    try:
        assert (cpu.cpu_name(), cpu.has_bfloat16()) == (name, has_bfloat16)
    finally:
        cpu._described.cache_clear()


def test_where_the_system_does_not_tell_there_is_no_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(cpu.Path, "read_text", missing)
    cpu._described.cache_clear()
    try:
        assert cpu.has_bfloat16() is False
        assert cpu.cpu_name()
    finally:
        cpu._described.cache_clear()
