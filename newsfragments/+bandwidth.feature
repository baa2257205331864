The `bandwidth` hook limits how many bits a second tunnels, clients, identities and the
whole server move, by reading less from those who send. Hooks can hold streams back
(`IStream.pace_received`, `IStream.pace_sent`).
