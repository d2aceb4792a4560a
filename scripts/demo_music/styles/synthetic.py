"""Machines, but not for dancing."""

from demo_music.score import Part, Style

SYNTHETIC = (
    Style(
        "Observatory Breathing", "Halcyon Depot", "Slow Instruments", "Ambient", "2019-11-22", 60, "F lydian",
        "I A a B C O",
        {
            "A": "Fmaj9 | Cadd9/E | Dm9", "B": "Bbmaj9 | Am7 | Gm9", "C": "Fmaj9 | Em7 | Dm9",
            "I": "Fmaj9", "O": "Bbmaj9",
        },
        (
            Part("chords", "dark_pad", "x---------------", "IAaBCO", centre=58, reverb=0.6),
            Part("chords", "soft_choir", "x---------------", "BC", centre=64, reverb=0.7),
            Part("bass", "sub_bass", "1---------------", "AaBC", centre=34, level_db=-5),
            Part("arpeggio", "glass", "0.......3...2...|..1.......4.....", "AaCO",
                 centre=74, delay=0.6, reverb=0.7),
            Part("melody", "soft_keys", "x-------x-------|....x-----------", "aBC",
                 centre=72, delay=0.4, reverb=0.7),
            Part("melody", "tubular_bell", "x...............", "IO", centre=65, reverb=0.8, level_db=-4),
        ),
        loose_ms=20, room_seconds=4.5,
    ),
    Style(
        "Overpass '86", "Vector Marlowe", "Chrome Evenings", "Synthwave", "2020-08-07", 102, "E minor",
        "I A a B b K C O",
        {"A": "Em | C | G | D", "B": "Am7 | Bm7 | Cmaj7 | D", "K": "C | D", "I": "Em | C"},
        (
            Part("drum", "kick", "X.......X.X.....", "AaBbCO"),
            Part("drum", "snare", "....X.......X...", "AaBbC", reverb=0.5, level_db=2),
            Part("drum", "hat", "x.x.x.x.x.x.x.xx", "AaBbC"),
            Part("drum", "tom", "............xxxx|................", "bC", reverb=0.4),
            Part("bass", "synth_bass", "1.1.1.1.1.1.1.8.|1.1.1.1.1.1.5.a.", "IAaBbCO", centre=33),
            Part("chords", "super_saw", "x---------------", "BbKC", centre=60, reverb=0.4, level_db=-1),
            Part("arpeggio", "pluck_synth", "0213421302134213", "AaCIO", centre=64, delay=0.35),
            Part("melody", "saw_lead", "x-----x-x---x---|x---x-------....", "aCK",
                 centre=72, delay=0.35, reverb=0.35),
            Part("melody", "square_lead", "x-x-x---x-x-x---|x-------x---....", "Bb", centre=70, delay=0.35),
        ),
        loose_ms=2, room_seconds=2.2, ducking=0.3,
    ),
    Style(
        "Kingdom of Nine Pixels", "Bitter Lemon Arcade", "Insert Token", "Chiptune", "2018-01-26", 150,
        "C major",
        "I A a B b K C c O",
        {
            "A": "C | Am | F | G7", "B": "Am | Em | F | C | Dm | Am | F | G7",
            "C": "C | Bb | Ab | G7", "K": "Am | F | Dm | G7", "I": "C | G7",
        },
        (
            Part("melody", "chip_lead", "x-x-x.xxx---x-x-|x-x-x---x-x-....", "AaCc", centre=76, delay=0.12),
            Part("melody", "chip_lead", "x---x-x-x---x---|x-x-x-x-x-------", "BbKO", centre=72, delay=0.12),
            Part("counter", "chip_square", "..x-..x-..x-x-x-", "abc", centre=67),
            Part("arpeggio", "chip_square", "0123012301230123", "IAaBbCcKO", centre=64),
            Part("bass", "chip_bass", "1.8.1.8.1.8.1.8.|1.8.1.8.5.5.3.a.", "AaBbCcO", centre=40, level_db=2),
            Part("drum", "chip_snare", "....x.......x.x.", "AaBbCc"),
            Part("drum", "kick", "X..x....X.x.....", "AaBbCc"),
            Part("drum", "chip_hat", "x.x.x.x.x.x.x.x.", "AaBbCcO", level_db=-8),
        ),
        loose_ms=0, room_seconds=0.4, colour="crushed",
    ),
    Style(
        "Tape of a Lighthouse", "Marisol Venn", "Signals, Mostly", "Downtempo", "2022-09-09", 92, "B minor",
        "I A a B b K C O",
        {"A": "Bm9 | Em9 | Gmaj7 | F#7", "B": "Gmaj9 | A6 | Bm9 | D/F#", "K": "Em9 | Gmaj9",
         "I": "Bm9 | Gmaj7", "O": "Bm9 | F#7"},
        (
            Part("drum", "kick", "X..x......X.....|X.....x...x.....", "AaBbC"),
            Part("drum", "snare_lofi", "....X..o....X...", "AaBbC", reverb=0.3),
            Part("drum", "shaker", "x.oox.oox.oox.oo", "aBbC"),
            Part("bass", "fm_bass", "1--..1--..5-7---|1--..1--..3-a---", "AaBbC", centre=35),
            Part("chords", "soft_keys", "x-------x-------|x-----------x---", "IAaBbKCO", reverb=0.35),
            Part("arpeggio", "pluck_synth", "0..2..4.1..3..2.", "BbKCO", centre=67, delay=0.5, reverb=0.3),
            Part("melody", "clarinet", "x---x-x-----x-x-|x-----x---......", "AaC",
                 centre=67, reverb=0.4, delay=0.2),
            Part("melody", "violin", "x-------x---x---|x---x-------....", "BbK", centre=74, reverb=0.5),
        ),
        swing=0.08, swing_unit=0.25, loose_ms=8, room_seconds=2.2, colour="warm",
    ),
)  # fmt: skip
