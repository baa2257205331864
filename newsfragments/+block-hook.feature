The `block` hook blocks addresses for a time that fail too often. For it, `on_error` is
told of tunnels that the server's policy refuses, and of a failed handshake's address
(`error.peer`).
