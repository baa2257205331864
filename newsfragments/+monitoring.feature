A running server or client shows what it does over HTTP, on loopback or a Unix socket
(`--monitor`): `/metrics` for Prometheus, `/health`, `/ready`, `/status`, and below
`/debug/` CPU profiles as flame graphs, memory, what the reactor holds, and event
traces.
