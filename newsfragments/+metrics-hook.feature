The `metrics` hook counts what tunnels and clients do: for programs (`get_metrics()`), as
lines of JSON or in the log every so often, and on the `/metrics` page for Prometheus, with
a maximum of tunnels and clients that are told apart.
