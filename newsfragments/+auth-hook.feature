The `auth` hook matches identities too (`identities`), and asks a function of one's own
about each client (`validator`).
