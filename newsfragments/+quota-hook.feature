The `quota` hook limits the tunnels, visitors and bytes of clients, at a time and in a day.
