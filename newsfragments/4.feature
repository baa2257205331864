SIGHUP reloads the configuration of a server or client, and `Server.reload` and
`Client.reload` do so in code: tunnels, listeners, credentials, limits and hooks change,
and streams go on. systemd is told of readiness, reloads, the status and the watchdog;
`docs/deploy` has units.
