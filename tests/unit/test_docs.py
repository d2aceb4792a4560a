"""The README keeps up with the program."""

from pathlib import Path

import pytest

import backend.errors
from backend.errors import SonicaError
from backend.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CODES = sorted(
    {
        error.code
        for error in vars(backend.errors).values()
        if isinstance(error, type) and issubclass(error, SonicaError)
    }
)


@pytest.mark.parametrize("name", [f"SONICA_{field.upper()}" for field in Settings.model_fields])
def test_readme_has_every_setting(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("code", CODES)
def test_readme_has_every_error_code(code: str) -> None:
    assert f"`{code}`" in README


def test_settings_all_say_why() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
