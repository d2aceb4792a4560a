"""Parts of load.py: clients that ask a server, know the answers, and break what it depends on."""
