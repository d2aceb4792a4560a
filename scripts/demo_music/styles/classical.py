"""Chamber, hall and stage."""

from demo_music.score import Part, Style

CLASSICAL = (
    Style(
        "Ballroom on the Embankment", "Kapelle Rosenhain", "Dances for Empty Rooms", "Waltz", "2011-01-14",
        168,
        "G major", "I A a B b C c O",
        {
            "A": "G | G | D7 | D7 | D7 | D7 | G | G", "I": "G | D7 | G | D7", "O": "C | G/D | D7 | G",
            "B": "C | C | G | G | A7 | A7 | D7 | D7", "C": "G | G7 | C | Cm6 | G/D | D7 | G | G",
        },
        (
            Part("bass", "pizzicato", "1.....|5.....", "IAaBbCcO", centre=43),
            Part("chords", "strings", "..x.x.", "IAaBbCcO", centre=62, reverb=0.3),
            Part("melody", "violin", "x-----|x---x-|x-x-x-|x-----", "AaCc", centre=76, reverb=0.35),
            Part("melody", "clarinet", "x-x-x-|x---x-|x---x-|x-----", "Bb", centre=69, reverb=0.35),
            Part("counter", "flute", "..x-x-|x-----", "Cc", centre=81, level_db=-2, reverb=0.35),
            Part("chords", "harp", "x.....", "BbCcO", centre=67, reverb=0.4),
            Part("drum", "timpani", "x.....|......", "CcO", level_db=-5, reverb=0.4),
        ),
        beats=3, loose_ms=11, room_seconds=2.0, slows_down=True,
    ),
    Style(
        "Invention for Two Windows", "Collegium Aldervane", "Figures in Brick", "Baroque", "2009-09-25", 92,
        "D harmonic_minor", "A a B b A C O",
        {
            "A": "Dm Gm | A7 Dm | Bb C7 | F A7", "B": "F C/E | Dm A | Gm6 A7 | Dm A7",
            "C": "Dm Gm | C F | Bb Em7b5 | A7sus4 A7", "O": "Gm A7",
        },
        (
            Part("melody", "harpsichord", "x-x-xxxxx-x-xxxx|xxxxx-x-x---x-x-", "AaBbCO",
                 centre=74, reverb=0.25),
            Part("counter", "harpsichord", "..xxx-x-xxxxx-x-|x-x-xxxxx-x-x-x-", "aBbC",
                 centre=60, level_db=2, reverb=0.25),
            Part("bass", "cello", "1---5-3-1---5-a-", "AaBbCO", centre=45, level_db=-3, reverb=0.3),
            Part("melody", "flute", "x-------x---x---|x---x---x-------", "bC",
                 centre=81, level_db=-5, reverb=0.4),
            Part("chords", "organ", "x-------x-------", "BbCO", centre=60, level_db=-6, reverb=0.4),
        ),
        loose_ms=7, room_seconds=1.8, slows_down=True,
    ),
    Style(
        "Seven Escalators", "Ensemble Parallax", "Counting Exercises", "Minimalism", "2013-05-31", 126,
        "E dorian",
        "I I A a B b K C c O",
        {"A": "Em9 | Em9 | Gmaj7 | A69", "B": "Cmaj9 | D69 | Bm7 | Em9", "K": "Am9 | Cmaj9 | Em9 | Bm7"},
        (
            Part("arpeggio", "marimba", "021302130213|201320132013", "IAaBbCcO", centre=64, level_db=2),
            Part("arpeggio", "marimba", "0.12.30.12.3|1.20.31.20.3|2.01.32.01.3", "AaBbCc", centre=71),
            Part("arpeggio", "piano", "0..2..1..3..", "aBbKCc", centre=55),
            Part("chords", "vibraphone", "x---------x-|......x-----", "aBbKCcO", centre=70, reverb=0.4),
            Part("bass", "clarinet", "1--------5--", "BbCcK", centre=47, reverb=0.3),
            Part("melody", "strings", "x-----------|x-----x-----", "BbCcKO", centre=74, reverb=0.5),
            Part("melody", "flute", "x--x--x--...|...x--x-----", "Cc", centre=79, reverb=0.4),
        ),
        beats=3, loose_ms=4, room_seconds=1.8,
    ),
    Style(
        "The Mayor Inspects the Bridge", "Tolland Town Band", "Bunting", "March", "2008-07-04", 116,
        "Bb major",
        "I A a B b C c O",
        {
            "A": "Bb | F7 | F7 | Bb", "B": "Eb | Bb | C7 | F7", "C": "Eb | Eb | Bb7 | Eb",
            "I": "F7 | Bb", "O": "Eb Edim7 | Bb/F F7",
        },
        (
            Part("drum", "snare_march", "x.xxx.x.x.xxxxxx|x.x.x.xxx.x.x.xx", "IAaBbCcO", level_db=-2),
            Part("drum", "bass_drum", "X...X...X...X...", "AaBbCcO", level_db=-2),
            Part("drum", "crash", "x.......x.......", "aBbCcO", level_db=-4),
            Part("bass", "brass", "1...5...1...5...|1...5...1.3.5...", "AaBbCcO", centre=43),
            Part("chords", "brass", "..x...x...x...x.", "AaBbCc", centre=60),
            Part("melody", "brass", "x--xx-x-x---x---|x--xx-x-x-------", "IAaO", centre=70, reverb=0.3),
            Part("melody", "clarinet", "x-x-x-x-x--xx---|x---x---x-------", "Bb", centre=72),
            Part("melody", "brass", "x-------x---x---|x-----x-x-------", "Cc", centre=67, level_db=-1),
            Part("counter", "flute", "xxxxx-x-xxxxx-x-|x-x-x-x-xxxxx---", "c", centre=82, level_db=1),
        ),
        loose_ms=9, room_seconds=1.2, slows_down=True,
    ),
    Style(
        "What the Cartographer Left Out", "Anselm Droste", "Maps of Weather", "Film score", "2020-10-16", 74,
        "C minor", "I A B b C O",
        {
            "A": "Cm | Ab | Eb | Bb", "B": "Fm | Cm/Eb | Db | G7", "C": "Cm Eb | Ab Fm | Db Ab | Gsus4 G7",
            "I": "Cmadd9 | Abmaj7", "O": "Cm | G7",
        },
        (
            Part("arpeggio", "pizzicato", "0.1.2.1.0.1.2.1.", "AaBb", centre=60, reverb=0.4),
            Part("chords", "strings", "x---------------", "IAaBbCO", centre=60, reverb=0.5),
            Part("bass", "cello", "1---------------|1-------5-------", "AaBbCO", centre=38, reverb=0.4),
            Part("melody", "cello", "x-----x-x-------|x---x---x-------", "Aa", centre=60, reverb=0.5),
            Part("melody", "violin", "x---x-x-x---x---|x-------x-x-x---", "BbC", centre=76, reverb=0.5),
            Part("melody", "piano", "....x.x.....x...", "IO", centre=76, reverb=0.6),
            Part("chords", "choir", "x---------------", "bC", centre=65, reverb=0.6),
            Part("chords", "brass", "x-------x-------", "C", centre=55, reverb=0.5, level_db=1),
            Part("drum", "timpani", "X.......x.....xx", "bCO", reverb=0.5),
        ),
        loose_ms=14, room_seconds=3.2, slows_down=True,
    ),
    Style(
        "Drawer of Small Keys", "Wilhelmina Sprock", "Winding Mechanisms", "Music box", "2012-12-07", 108,
        "A major",
        "A a B A C c O",
        {
            "A": "A | E7 | F#m | D | A/E | E7", "B": "F#m | C#m | D | A | Bm7 | E7", "O": "D | E7",
            "C": "A | Amaj7 | D | Dm6 | A/E | E7",
        },
        (
            Part("melody", "music_box", "x-x-x-|x---x-|x-xxx-|x-----", "AaBbCcO", centre=81, reverb=0.35),
            Part("arpeggio", "music_box", "0.2.1.", "AaBbCcO", centre=66, level_db=1, reverb=0.3),
            Part("counter", "music_box", "..x.x.|x.....", "bCc", centre=88, level_db=1, reverb=0.4),
            Part("bass", "harp", "1.....", "BbCc", centre=45, reverb=0.3, level_db=-4),
        ),
        beats=3, loose_ms=13, room_seconds=1.6, slows_down=True,
    ),
)  # fmt: skip
