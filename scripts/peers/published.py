"""What papers and other people's measurements report. Other music, other rooms: to be read beside, not against."""

from __future__ import annotations

from dataclasses import dataclass

LENGTHS = (1, 2, 3, 5, 10)  # seconds


@dataclass(frozen=True, slots=True)
class Published:
    """Reported top-1 by clip length in seconds, and what was accepted of 5 s clips at 1 % false accepts; per cent."""

    system: str
    conditions: str
    top1: dict[int, float]
    source: str
    accepted: float | None = None


_NAFP = "2,000 clips of 500 songs under noise of 0-10 dB and room and microphone responses, in 93,458 songs"
_SD_RR = "real: a laptop's loudspeaker, a phone at 1.6 m; 1,488 clips, 496 songs"
_PEX = "PEX Hard Medium, pitch or tempo changed in part; 543 clips, 659 songs"
_NOISE_AND_ROOM = "noise of {} dB and room responses, in 25,000 songs (fma_medium)"
_NAFP_SOURCE = "github.com/mimbres/neural-audio-fp/issues/18 (data set v1.1)"
_GRAFP_SOURCE = "thesis table 5.2, in a fork of github.com/chymaera96/GraFP (GraFPrint: arXiv 2410.10994)"
_ACR_SOURCE = "github.com/anoubhav/acr-fingerprinting (2026, not reviewed)"

PUBLISHED = (
    Published("Neural Audio FP, segment exact", _NAFP, {1: 67.95, 2: 88.9, 3: 94.3, 5: 97.35, 10: 99.15}, _NAFP_SOURCE),
    Published("Neural Audio FP, within 0.5 s", _NAFP, {1: 73.0, 2: 90.3, 3: 94.7, 5: 97.4, 10: 99.2}, _NAFP_SOURCE),
    Published("GraFPrint", _NOISE_AND_ROOM.format(0), {1: 52.3, 2: 80.0}, _GRAFP_SOURCE),
    Published("GraFPrint", _NOISE_AND_ROOM.format(10), {1: 79.2, 2: 94.7}, _GRAFP_SOURCE),
    Published("Transformer and LSH", _NOISE_AND_ROOM.format(0), {1: 44.8}, _GRAFP_SOURCE),
    Published("Neural Audio FP (CNN)", _NOISE_AND_ROOM.format(0), {1: 20.8}, _GRAFP_SOURCE),
    Published("NMFP", f"{_SD_RR}; accepted: of 141 clips", {5: 61.9, 10: 72.1}, _ACR_SOURCE, accepted=48.9),
    Published("PeakNetFP", _SD_RR, {5: 4.1, 10: 6.9}, _ACR_SOURCE),
    Published("PCA of mel bands", _SD_RR, {10: 4.8}, _ACR_SOURCE),
    Published(
        "Nikou 2025, audio transformer",
        "real: 15 songs by phone, low noise, in 100,000 songs",
        {1: 48.0, 10: 97.0},
        "arXiv 2507.06070",
    ),
    Published(
        "dejavu",
        "real: 45 songs by a laptop's microphone",
        {1: 60.0, 2: 95.6, 3: 97.8, 5: 100.0},
        "github.com/worldveil/dejavu README (2013)",
    ),
    Published("NMFP", _PEX, {5: 85.8}, _ACR_SOURCE, accepted=82.5),
    Published("PeakNetFP", _PEX, {5: 84.2}, _ACR_SOURCE, accepted=68.3),
    Published("PCA of mel bands", _PEX, {1: 76.2, 2: 78.8, 3: 81.2, 5: 82.1, 10: 82.5}, _ACR_SOURCE, accepted=74.6),
    Published("audfprint", _PEX, {5: 71.3}, _ACR_SOURCE, accepted=60.4),
)
