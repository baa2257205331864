The `auth` hook matches identities too (`identities`), and asks a function of one's own
about each client (`validator`). The hook `addresses` allows and denies clients and
visitors by networks, and the hook `policy` says which ports, addresses and targets the
tunnels of which clients may have.
