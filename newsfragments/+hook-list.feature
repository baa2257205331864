`reitunnel hooks` lists the hooks that are installed, with their options.
