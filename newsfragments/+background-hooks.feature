Hooks can work in the background and finish when the server or client stops
(`IBackgroundHook`).
