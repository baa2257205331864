`reitunnel status` shows the sessions and tunnels of a running server or
client, and what they move, in a table that refreshes, or as JSON.
