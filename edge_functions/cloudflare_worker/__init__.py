"""Cloudflare: a Python Worker over a JavaScript one that holds the kernel."""
