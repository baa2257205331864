The `policy` hook says which ports, addresses and targets the tunnels of which clients may
have.
