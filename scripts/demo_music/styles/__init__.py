"""The plans of all demo pieces; every title and name is invented."""

from demo_music.styles.classical import CLASSICAL
from demo_music.styles.club import CLUB
from demo_music.styles.popular import POPULAR
from demo_music.styles.synthetic import SYNTHETIC
from demo_music.styles.traditional import TRADITIONAL

STYLES = (*POPULAR, *CLUB, *CLASSICAL, *SYNTHETIC, *TRADITIONAL)
