The `remote-policy` hook asks an HTTP service which clients, tunnels and visitors to allow,
within a time and refusing without an answer; the service may also give a tunnel another
port or other metadata (`ITunnel.rewrite`).
