"""The origin: decodes clips, searches the catalogue's index, verifies and answers."""
