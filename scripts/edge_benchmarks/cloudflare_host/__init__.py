"""Both of Cloudflare's Workers on this machine, for tests and benchmarks: see host.mjs."""
