"""The figures of the report, each a figure of plotly."""
