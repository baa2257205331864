`limits.max_clients_per_identity` bounds how many clients one token or certificate may
have connected at once.
