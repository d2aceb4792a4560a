import pytest

from backend.settings import Settings


@pytest.mark.parametrize(
    ("text", "speeds"),
    [("0.94,1.06", (0.94, 1.06)), ("1.1", (1.1,)), ("0.8,0.9,1.1,1.20", (0.8, 0.9, 1.1, 1.2)), ("off", ()), ("", None)],
)
def test_speeds_are_read_when_they_are_whole_per_cents(
    monkeypatch: pytest.MonkeyPatch, text: str, speeds: tuple[float, ...] | None
) -> None:
    monkeypatch.setenv("SONICA_SPEEDS", text)
    settings = Settings()

    assert settings.other_speeds == (Settings(speeds="0.94,1.06").other_speeds if speeds is None else speeds)


@pytest.mark.parametrize("text", ["0.79", "1.21", "1.065", "0.9,", "0.9;1.1", "none", "0.9,0.94,1.06,1.1,1.12"])
def test_speeds_are_refused_when_the_kernel_could_not_take_them_or_they_are_many(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SONICA_SPEEDS", text)
    with pytest.raises(ValueError, match="speeds"):
        Settings()
