Clients resume their TLS session when they connect again, and for data links.
