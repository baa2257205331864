A server and a client that carry TCP connections to services behind a NAT, over
`tcp`, `tls`, `ws` and `wss` links: with SCRAM tokens and client certificates, hooks,
a `twistd` plugin and the `reitunnel` command.
