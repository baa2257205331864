The `auth` hook matches identities too (`identities`), and asks a function of one's own
about each client (`validator`). The hook `addresses` allows and denies clients and
visitors by networks, `policy` says which ports, addresses and targets the tunnels of
which clients may have, `rate` limits how often clients and visitors connect, `block`
blocks addresses for a time that fail too often, and `quota` limits the tunnels,
visitors and bytes of clients, at a time and in a day. `on_error` is told of tunnels
that the server's policy refuses, and of a failed handshake's address (`error.peer`).
After `Refused("...", passing=True)` of a hook, a client asks again.
