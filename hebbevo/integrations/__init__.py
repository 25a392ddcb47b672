"""hebbevo inside other tools.

`hebbevo.integrations.ray_tune`, `hebbevo.integrations.lightning` and `hebbevo.integrations.skorch` each need
their tool, and no other module imports them.
"""
