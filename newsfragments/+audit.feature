The `audit` hook records what happens in lines of JSON, each chained to the one before by
SHA-256 over restarts and rotated files, and `reitunnel audit verify FILE...` names the first
record that was changed.
