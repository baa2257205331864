The `alerts` hook posts to a webhook when errors of a kind come often.
