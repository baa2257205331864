`load_client_config` takes `needs_tunnels=False`, for a program that opens its tunnels
itself.
