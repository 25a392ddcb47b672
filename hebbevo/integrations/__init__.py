"""hebbevo inside other people's tools; each module here needs its tool, and nothing else imports it."""
