"""What a search is for: objectives, constraints, and the Pareto front."""
