"""What the three functions have agreed on."""

MATCH_PATH = "/v1/match/"
RECOGNITION_PATHS = frozenset({"/v1/recognize", "/recognize"})
SIZE_HEADER = "x-sonica-size"  # viewer-request says "large" where a body is not worth origin-request's look
