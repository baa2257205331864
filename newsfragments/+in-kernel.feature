`/status`, `/debug/reactor`, `/metrics` and `reitunnel status` show which streams are moved in the kernel, and which are copied.
