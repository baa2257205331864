Any Twisted program can be published through a tunnel: `twist web --port 'reitunnel:…'`
serves the visitors of a public port of a server, with no local port.
`TunnelServerEndpoint` is the same in code.
