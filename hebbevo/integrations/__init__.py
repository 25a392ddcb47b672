"""hebbevo inside other tools. Each module here needs its tool, and no other module imports it."""
