A link's facts (`ILinkFacts`) say the version of TLS: `tls_version`.
