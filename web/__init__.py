"""What station and centre share over HTTP: routes, problems, security, events, pages."""
