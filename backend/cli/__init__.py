"""The `sonica` command: thin over the use cases."""
